"""The two tables and their difference, for people and for programs. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.truth.cases import NAMES, Case

ALLOWED, DENIED, NOT_ASKED = ".", "X", " "
OPEN_BUT_DENIED, CLOSED_BUT_ALLOWED, SAME = "!", "?", "."


@dataclass(frozen=True, slots=True)
class Truth:
    """All cases with both answers."""

    asked: tuple[Case, ...]
    predicted: tuple[bool, ...]
    observed: tuple[bool, ...]
    seconds: float = 0.0
    """That probing took."""

    @property
    def differences(self) -> tuple[int, ...]:
        """The places of the cases whose answers differ."""
        return tuple(
            place for place, (said, seen) in enumerate(zip(self.predicted, self.observed, strict=True)) if said != seen
        )

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it: `predicted` and `observed` count the allowed ones, `cases` has every answer."""
        answers = list(zip(self.asked, self.predicted, self.observed, strict=True))
        return {
            "probes": len(self.asked),
            "predicted": sum(self.predicted),
            "observed": sum(self.observed),
            "seconds": round(self.seconds, 3),
            "differences": [_answer(*answers[place]) for place in self.differences],
            "cases": [_answer(*answer) for answer in answers],
        }


def _answer(case: Case, predicted: bool, observed: bool) -> dict[str, Any]:  # noqa: FBT001 - fields of a row
    return {
        "from": case.source.id,
        "to": case.destination.id,
        "protocol": NAMES[case.port.protocol],
        "port": case.port.number,
        "family": case.family,
        "predicted": predicted,
        "observed": observed,
    }


def lines(truth: Truth) -> Iterator[str]:
    """A block for each port and family: predicted, observed and the difference side by side; rows are sources."""
    members = sorted({case.source.id for case in truth.asked} | {case.destination.id for case in truth.asked})
    width = max(map(len, members), default=0)
    yield f"{ALLOWED} allowed  {DENIED} denied; difference: {OPEN_BUT_DENIED} open but denied by policy, "
    yield f"{CLOSED_BUT_ALLOWED} closed but allowed; columns in the order of the rows"
    answers = {
        (case.port, case.family, case.source.id, case.destination.id): (said, seen)
        for case, said, seen in zip(truth.asked, truth.predicted, truth.observed, strict=True)
    }
    for port, family in sorted({(case.port, case.family) for case in truth.asked}):
        yield f"\n{port} IPv{family}: predicted, observed, difference"
        for source in members:
            row = [answers.get((port, family, source, destination)) for destination in members]
            yield f"  {source:{width}}  " + "  ".join((_cells(row, 0), _cells(row, 1), _difference(row)))


def _cells(row: Sequence[tuple[bool, bool] | None], side: int) -> str:
    return "".join(NOT_ASKED if pair is None else ALLOWED if pair[side] else DENIED for pair in row)


def _difference(row: Sequence[tuple[bool, bool] | None]) -> str:
    marks = {(False, True): OPEN_BUT_DENIED, (True, False): CLOSED_BUT_ALLOWED}
    return "".join(NOT_ASKED if pair is None else marks.get(pair, SAME) for pair in row)
