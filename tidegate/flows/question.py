"""Which records are wanted, as SQL for the store. Pure.

Every filter that names somebody is found by an index; the newest come first, so that a limit ends the search.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from tidegate.flows.record import PROTOCOLS, Level, Reporter

MAX_LIMIT = 10_000
_NUMBERS = {word: number for number, word in PROTOCOLS.items()}
_SIDES = ("source", "destination")


class FlowQuestionError(ValueError):
    """The question makes no sense; the message says which part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowQuestion:
    """Filters; None and "" are everything."""

    after: int | None = None
    """Only records behind this number of the stream, the oldest first."""
    since: float | None = None
    """Written at or after; seconds since the epoch."""
    until: float | None = None
    party: str = ""
    """Either end: `namespace/name`, a namespace with a slash at its end, a name without one, or an address."""
    source: str = ""
    destination: str = ""
    is_allowed: bool | None = None
    reporter: str = ""
    protocol: int | None = None
    port: int | None = None
    policy: str = ""
    """Part of a trace's text, enforced or pending."""
    domain: str = ""
    level: Level | None = None
    """Added up as far as this; None is as stored."""
    limit: int = 1000


def read_question(given: Mapping[str, str]) -> FlowQuestion:
    """The question in the parameters of a request.

    Raises:
        FlowQuestionError: one of them cannot be understood, or does not exist.
    """
    known = {
        "after", "since", "until", "party", "source", "destination", "action", "reporter", "protocol", "port",
        "policy", "domain", "level", "limit",
    }  # fmt: skip
    if strange := sorted(given.keys() - known):
        raise FlowQuestionError(f"cannot filter by {strange[0]}: there is {', '.join(sorted(known))}")
    action, reporter = given.get("action", ""), given.get("reporter", "")
    if action not in ("", "allow", "deny"):
        raise FlowQuestionError(f"cannot filter by the action {action!r}: it is allow or deny")
    if reporter not in ("", *Reporter):
        raise FlowQuestionError(f"cannot filter by the reporter {reporter!r}: it is {', '.join(Reporter)}")
    return FlowQuestion(
        after=_number(given, "after", 1 << 62),
        since=_time(given, "since"),
        until=_time(given, "until"),
        party=given.get("party", ""),
        source=given.get("source", ""),
        destination=given.get("destination", ""),
        is_allowed=None if not action else action == "allow",
        reporter=reporter,
        protocol=_protocol(given.get("protocol", "")),
        port=_number(given, "port", 65535),
        policy=given.get("policy", ""),
        domain=given.get("domain", ""),
        level=None if (level := _number(given, "level", 3)) is None else Level(level),
        limit=min(MAX_LIMIT, _number(given, "limit", 1 << 31) or 1000),
    )


def _number(given: Mapping[str, str], name: str, most: int) -> int | None:
    text = given.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise FlowQuestionError(f"cannot filter by {name} {text!r}: it is a number from 0 to {most}")
    return int(text)


def _time(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name, "")
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise FlowQuestionError(f"cannot read {name}: {error}") from None


def _protocol(text: str) -> int | None:
    word = text.lower()
    if not word:
        return None
    if word in _NUMBERS or word == "icmpv6":
        return _NUMBERS[word.replace("icmpv6", "icmp6")]
    if word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= 255:
        return int(word)
    raise FlowQuestionError(f"cannot filter by the protocol {text!r}: it is {', '.join(_NUMBERS)} or a number")


def conditions(question: FlowQuestion) -> tuple[str, list[object]]:
    """What stands behind WHERE, and its parameters."""
    parts, values = ["1"], list[object]()
    for part, *given in (*_plain(question), *_parties(question)):
        if given != [None]:
            parts.append(str(part))
            values += given
    return " AND ".join(parts), values


def _plain(question: FlowQuestion) -> Iterator[tuple[object, ...]]:
    """Conditions with their values; None is no condition."""
    yield "id > ?", question.after
    # By the index of times to a number: then the order of numbers needs no sorting.
    yield "id >= coalesce((SELECT min(id) FROM flows WHERE ended_at >= ?), 1 << 62)", question.since
    yield "ended_at <= ?", question.until
    yield "allowed = ?", None if question.is_allowed is None else int(question.is_allowed)
    yield "reporter = ?", question.reporter or None
    yield "protocol = ?", question.protocol
    yield "destination_port = ?", question.port
    yield "trace IN (SELECT id FROM traces WHERE instr(text, ?))", question.policy or None
    yield "instr(domains, ?)", question.domain or None


def _parties(question: FlowQuestion) -> Iterator[tuple[object, ...]]:
    for side in _SIDES:
        if named := getattr(question, side):
            yield _side(side, named)
    if question.party:
        found = [_side(side, question.party) for side in _SIDES]
        ways = " UNION ".join(f"SELECT id FROM flows WHERE {text}" for text, *_ in found)  # noqa: S608 - no input
        yield f"id IN ({ways})", *(value for _, *values in found for value in values)


def _side(side: str, named: str) -> tuple[str, ...]:
    """The condition that this end is the named one."""
    if named.replace(".", "").isdigit() or ":" in named:
        return f"{side}_address = ?", named
    namespace, slash, name = named.rpartition("/")
    if not slash:
        return f"{side}_name = ?", name
    if not name:
        return f"{side}_namespace = ?", namespace
    return f"{side}_namespace = ? AND {side}_name = ?", namespace, name
