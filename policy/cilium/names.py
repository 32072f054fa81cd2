"""Names and patterns of `toFQDNs` as domains here (Cilium: `matchName`, `matchPattern`).

In Cilium's patterns `*` is any number of letters within one label, and a leading `**.` one or more whole labels. Here a
`*` is always whole labels: patterns in which it stands for a part of one, or more than once, have no counterpart.
"""

from dataclasses import dataclass

from policy.cilium.part import Part
from policy.cilium.remarks import CannotError
from policy.domains import DomainError, DomainName, DomainPattern, Wildcard


@dataclass(frozen=True, slots=True)
class Named:
    """A domain as policy writes it, and what its `*` must mean; None if it has none."""

    domain: str
    wildcard: Wildcard | None


def named(part: Part) -> Named:
    """Reads one item of `toFQDNs`.

    Raises:
        CannotError: no pattern here matches the same names.
    """
    part.only("matchName", "matchPattern")
    name, pattern = part.get("matchName"), part.get("matchPattern")
    if (name is None) == (pattern is None):
        raise CannotError(part.path, "needs either matchName or matchPattern")
    try:
        if name is not None:
            return Named(str(DomainName.parse(name.text())), None)
        return _pattern(pattern) if pattern is not None else Named("", None)
    except DomainError as error:
        raise CannotError((name or pattern or part).path, str(error)) from None


def _pattern(part: Part) -> Named:
    text = part.text()
    if text.strip(".") in {"*", "**"}:
        raise CannotError(part.path, "any name: write a rule for the networks that are meant")
    wildcard = Wildcard.LABELS if text.startswith("**.") else Wildcard.SINGLE_LABEL
    written = text.removeprefix("*") if wildcard is Wildcard.LABELS else text
    DomainPattern.parse(written, wildcard)
    return Named(written.rstrip(".").lower(), wildcard if "*" in written else None)
