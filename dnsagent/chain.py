"""From the name that was asked to the addresses at the end of its aliases.

Records may come in any order; what counts is that each owner is reached from the question (RFC 1034 3.6.2, RFC 6672
for DNAME). What is not reached was put there for another purpose and teaches nothing.
"""

from enum import StrEnum
from typing import NamedTuple

from dnsagent.codec import AliasRecord, Answer

MAX_HOPS = 16
"""Resolvers give up after 8 to 12."""


class Trouble(StrEnum):
    """What was wrong with a chain."""

    OUT_OF_CHAIN = "out-of-chain"
    TOO_LONG = "chain-too-long"
    LOOP = "chain-loop"


class Resolved(NamedTuple):
    """An address, and every name on the way to it, the one that was asked first."""

    names: tuple[bytes, ...]
    """Wire keys."""
    ttl: int
    """The least on the way, seconds as on the wire."""
    address: bytes
    is_hint: bool


def resolve(answer: Answer) -> tuple[list[Resolved], list[Trouble]]:
    """The addresses that the question leads to, and what was refused, one item a record."""
    if not answer.aliases and not answer.delegations:
        return _direct(answer)
    path, ttls, trouble = _walk(answer)
    if trouble is not None:
        return [], [trouble]
    reached = {name: number for number, name in enumerate(path)}
    found, refused = [], []
    for is_hint, records in ((False, answer.addresses), (True, answer.hints)):
        for record in records:
            number = reached.get(record.owner)
            if number is None:
                refused.append(Trouble.OUT_OF_CHAIN)
            else:
                ttl = min(record.ttl, ttls[number])
                found.append(Resolved(path[: number + 1], ttl, record.address, is_hint))
    return found, refused


def _direct(answer: Answer) -> tuple[list[Resolved], list[Trouble]]:
    """The common case: every owner is the name itself."""
    name = answer.name
    names = (name,)
    found = [Resolved(names, item.ttl, item.address, False) for item in answer.addresses if item.owner == name]  # noqa: FBT003
    found += [Resolved(names, item.ttl, item.address, True) for item in answer.hints if item.owner == name]  # noqa: FBT003
    refused = len(answer.addresses) + len(answer.hints) - len(found)
    return found, [Trouble.OUT_OF_CHAIN] * refused


def _walk(answer: Answer) -> tuple[tuple[bytes, ...], list[int], Trouble | None]:
    """The names from the question on, and for each the least TTL on the way to it."""
    aliases = {record.owner: record for record in reversed(answer.aliases)}
    path, ttls, name, least = [answer.name], [_NEVER], answer.name, _NEVER
    while True:
        step = aliases.get(name) or _delegated(name, answer.delegations)
        if step is None:
            return tuple(path), ttls, None
        if step.target in path:
            return (), [], Trouble.LOOP
        if len(path) > MAX_HOPS:
            return (), [], Trouble.TOO_LONG
        name, least = step.target, min(least, step.ttl)
        path.append(name)
        ttls.append(least)


_NEVER = 2**32


def _delegated(name: bytes, delegations: list[AliasRecord]) -> AliasRecord | None:
    """The alias that a DNAME above the name makes (RFC 6672 2.2): its own owner is not renamed."""
    for record in delegations:
        head = len(name) - len(record.owner)
        if head > 0 and name.endswith(record.owner) and _is_label_start(name, head):
            return AliasRecord(name, record.ttl, name[:head] + record.target)
    return None


def _is_label_start(name: bytes, offset: int) -> bool:
    at = 0
    while at < offset:
        at += name[at] + 1
    return at == offset
