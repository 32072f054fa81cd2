"""`tidegate eval`: what policy says about connections, without a kernel and without an agent."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from policy.evaluate import LearnedName
from tidegate.cli import configuration, exits
from tidegate.cli.output import fail, say, say_out
from tidegate.cli.resources import ResourcesOption, load
from tidegate.judge.configured import documents_for
from tidegate.judge.errors import ProbeError
from tidegate.judge.names import parse_name
from tidegate.judge.probe import Probe, parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session, disagree

T = TypeVar("T")

NamesOption = Annotated[
    Path | None,
    typer.Option("--names", help='Learned names, a line each: {"endpoint": "ns/pod", "name": ..., "ip": ...}.'),
]
OracleOption = Annotated[
    Oracle, typer.Option("--oracle", help="The reference, the rules as the kernel would have them, or both compared.")
]


def evaluate(*, resources: ResourcesOption, names: NamesOption = None, oracle: OracleOption = Oracle.EVALUATE) -> None:
    """Judge connections: probes as JSON lines on standard input, verdicts as JSON lines on standard output.

    A probe: {"id": 1, "from": {"pod": "ns/web"}, "to": {"ip": "192.0.2.1"}, "protocol": "TCP", "port": 443}. A party
    is a pod, endpoint, ip or host. What FelixConfigurations say for all nodes is in force. Exits with 1 if a line was
    wrong, with 3 if two oracles disagreed.
    """
    lines = _Lines()
    known = load(resources)
    roster = Roster(known)
    settings = configuration.with_documents(documents_for(known, ""))
    session = Session(known, roster, _learned(names, roster, lines), oracle, settings)
    has_disagreement = False
    for place, probe in lines.parsed("stdin", sys.stdin, parse_probe):
        has_disagreement |= _judge(session, probe, place, lines)
    if has_disagreement:
        raise typer.Exit(exits.DISAGREE)
    raise typer.Exit(exits.NO if lines.faults else exits.DONE)


class _Lines:
    """Reads lines of JSON, tells of faulty ones by their place, and counts them."""

    def __init__(self) -> None:
        self.faults = 0

    def parsed(self, name: str, lines: Iterable[str], parse: Callable[[str], T]) -> Iterator[tuple[str, T]]:
        """The place and value of every good line; blank lines are nothing."""
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                value = parse(line)
            except ProbeError as error:
                self.tell(place, error)
                continue
            yield place, value

    def tell(self, place: str, error: ProbeError) -> None:
        """Says what is wrong, and where."""
        self.faults += 1
        say(f"{place}: {error}")


def _learned(path: Path | None, roster: Roster, lines: _Lines) -> list[LearnedName]:
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8") as file:
            parsed = lines.parsed(str(path), file, lambda line: roster.checked(parse_name(line)))
            return [name for _, name in parsed]
    except OSError as error:
        fail(exits.NO, f"cannot read {path}: {error.strerror}")
    except UnicodeDecodeError:
        fail(exits.NO, f"cannot read {path}: it is not UTF-8")


def _judge(session: Session, probe: Probe, place: str, lines: _Lines) -> bool:
    """Prints the verdict; whether the oracles disagree about it. Then the first one's is printed, and both are told."""
    try:
        answers = session.answers(probe)
    except ProbeError as error:
        lines.tell(place, error)
        return False
    documents = {oracle: json.dumps(answer.document(probe.id)) for oracle, answer in answers.items()}
    say_out(next(iter(documents.values())))
    sys.stdout.flush()
    if not disagree(answers):
        return False
    for oracle, document in documents.items():
        say(f"{place}: {oracle} says {document}")
    return True
