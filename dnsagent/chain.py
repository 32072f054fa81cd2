"""From the name that was asked to the addresses at the end of its aliases.

Records may come in any order; what counts is that each owner is reached from the question (RFC 1034 3.6.2, RFC 6672 for
DNAME). What is not reached was put there for another purpose and teaches nothing.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from dnsagent.codec import MAX_NAME_BYTES, AddressRecord, AliasRecord, Answer

MAX_HOPS: Final = 16
"""Resolvers give up after 8 to 12."""

Resolved = tuple[tuple[bytes, ...], int, bytes]
"""The names on the way to an address as wire keys, the one that was asked first; the least TTL on that way, in seconds;
the address."""


class Trouble(StrEnum):
    """What was wrong with a chain."""

    OUT_OF_CHAIN = "out-of-chain"
    TOO_LONG = "chain-too-long"
    LOOP = "chain-loop"


def resolve(answer: Answer) -> tuple[list[Resolved], list[Trouble]]:
    """The addresses that the question leads to, hints last, and what was refused, one item a record."""
    records = answer.addresses + answer.hints if answer.hints else answer.addresses
    if not answer.aliases and not answer.delegations:
        return _direct(answer.name, records)
    path, ttls, trouble = _walk(answer)
    if trouble is not None:
        return [], [trouble]
    reached = {name: number for number, name in enumerate(path)}
    found: list[Resolved] = []
    refused: list[Trouble] = []
    ways: dict[int, tuple[bytes, ...]] = {}
    for owner, ttl, address in records:
        number = reached.get(owner)
        if number is None:
            refused.append(Trouble.OUT_OF_CHAIN)
            continue
        way = ways.get(number)
        if way is None:
            # One tuple for all records of an owner: who comes after may tell by identity that the names are the same.
            way = ways[number] = path[: number + 1]
        found.append((way, min(ttl, ttls[number]), address))
    return found, refused


def aliased(answer: Answer) -> tuple[tuple[bytes, ...], int] | None:
    """The names from the question to the end of its aliases, and the least TTL among these; None where it has none."""
    path, ttls, trouble = _walk(answer)
    return None if trouble is not None or len(path) < 2 else (path, ttls[-1])


def _direct(name: bytes, records: list[AddressRecord]) -> tuple[list[Resolved], list[Trouble]]:
    """The common case: every owner is the name itself."""
    names = (name,)
    found: list[Resolved] = [(names, ttl, address) for owner, ttl, address in records if owner == name]
    return found, [Trouble.OUT_OF_CHAIN] * (len(records) - len(found))


def _walk(answer: Answer) -> tuple[tuple[bytes, ...], list[int], Trouble | None]:
    """The names from the question on, and for each the least TTL on the way to it."""
    # Of several records with one owner the first counts.
    aliases = {record[0]: record for record in reversed(answer.aliases)}
    delegations = {record[0]: record for record in reversed(answer.delegations)}
    path, ttls, name, least = [answer.name], [_NEVER], answer.name, _NEVER
    while True:
        step = aliases.get(name) or (_delegated(name, delegations) if delegations else None)
        if step is None:
            return tuple(path), ttls, None
        _, ttl, target = step
        if target in path:
            return (), [], Trouble.LOOP
        if len(path) > MAX_HOPS:
            return (), [], Trouble.TOO_LONG
        name, least = target, min(least, ttl)
        path.append(name)
        ttls.append(least)


_NEVER: Final = 2**32


def _delegated(name: bytes, delegations: Mapping[bytes, AliasRecord]) -> AliasRecord | None:
    """The alias that the nearest DNAME above the name makes (RFC 6672 2.2): its own owner is not renamed."""
    at = 0
    while at < len(name):
        at += name[at] + 1
        record = delegations.get(name[at:])
        if record is not None:
            target = name[:at] + record[2]
            return (name, record[1], target) if len(target) <= MAX_NAME_BYTES else None
    return None
