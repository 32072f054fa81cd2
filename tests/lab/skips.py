"""Which tests may be skipped: a list in the repository, by what the machine lacks. Any other skip fails the run.

A skipped test looks like a passed one to whoever reads "1200 passed", so a kernel that lost a feature, or a missing
library, would go unnoticed. Lists are `tests/expected_skips/<machine>.txt`: node ids, or patterns (fnmatch) that end
in `*`; `#` begins a comment. <machine> is `user` without root, else `root`, else `root-without-<feature>-<feature>`;
and `without-kube.txt` besides, where no API server has been built.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

DIRECTORY = Path(__file__).parent.parent / "expected_skips"


def machine(absent: Sequence[str] | None) -> str:
    """The name of the list for a machine whose kernel lacks these features; None: it cannot be asked (no root)."""
    if absent is None:
        return "user"
    return "-".join(["root", *(["without", *sorted(absent)] if absent else [])])


def read(name: str, directory: Path = DIRECTORY) -> tuple[str, ...]:
    """The entries of a list; none where there is no such list."""
    path = directory / f"{name}.txt"
    if not path.exists():
        return ()
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return tuple(line for line in lines if line)


@dataclass(slots=True)
class Skips:
    """What a run did: filled as reports come in, compared at the end."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by node id."""
    ran: set[str] = field(default_factory=set)

    def faults(self, expected: Iterable[str]) -> list[str]:
        """Skips that nobody expects, and entries of the list whose tests ran."""
        entries = tuple(expected)
        faults = [
            f"skipped, and not expected to be: {node} ({reason})"
            for node, reason in sorted(self.skipped.items())
            if not any(node == entry or (entry.endswith("*") and fnmatchcase(node, entry)) for entry in entries)
        ]
        return faults + [f"expected to be skipped, but ran: {entry}" for entry in entries if entry in self.ran]
