"""What goes wrong between us and nf_tables: one root, `NftError`.

The kernel's refusals carry an errno, what was being done and to what, so that a caller can ask instead of parsing text:
ENOENT says that somebody deleted what we thought was there, ENFILE that a set is full, ENOBUFS that events were lost.
"""

import errno as codes
from collections.abc import Collection, Mapping


class NftError(Exception):
    """The kernel, or libnftables in front of it, refused an operation. Nothing of the transaction was applied."""

    def __init__(self, errno: int, operation: str, subject: str, detail: str = "") -> None:
        self.errno = errno
        """Positive errno, 0 where libnftables refused the text itself before asking the kernel."""
        self.operation = operation
        """What was tried, an infinitive: `add elements`, `apply the transaction`."""
        self.object = subject
        """To what: a table, chain, set, with its name."""
        self.detail = detail
        """The offending line, or what the kernel added; may be empty."""
        cause = codes.errorcode.get(errno, str(errno)) if errno else "refused"
        super().__init__(f"cannot {operation} {subject}: {cause}{': ' if detail else ''}{detail}")

    @property
    def is_absent(self) -> bool:
        """True if something named in the operation does not exist: our knowledge of the kernel is stale."""
        return self.errno == codes.ENOENT


class ElementError(NftError):
    """A batch of element changes was refused as a whole; `failures` says which changes are to blame."""

    def __init__(self, errno: int, subject: str, failures: Mapping[int, int]) -> None:
        super().__init__(errno, "write elements of", subject, f"{len(failures)} of the changes refused")
        self.failures = failures
        """Positive errno by position in the sequence that was written. Empty if the kernel blamed the batch itself
        (EPERM, ENOMEM). The other changes were not applied either, but may be written again without these."""


class ScriptError(NftError):
    """A script was refused; `lines` are to blame."""

    def __init__(self, errno: int, operation: str, detail: str, lines: tuple[int, ...]) -> None:
        super().__init__(errno, operation, "the commands", detail)
        self.lines = lines
        """Numbers of lines, from 1. Empty if the kernel blamed no command (EPERM, ENOMEM, a loop of jumps)."""


class CommitError(NftError):
    """A transaction was refused; `chains` and `sets` are to blame."""

    def __init__(
        self, errno: int, table: str, detail: str, *, chains: Collection[str] = (), sets: Collection[str] = ()
    ) -> None:
        super().__init__(errno, "commit to", f"table {table}", detail)
        self.chains = frozenset(chains)
        self.sets = frozenset(sets)
        """Sets and maps. Both empty if the kernel blamed nothing in particular."""
