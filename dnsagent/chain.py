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


Alias = tuple[tuple[bytes, ...], int]
"""The names from the question to the end of its aliases, and the least TTL among these, in seconds."""


def resolve(answer: Answer) -> tuple[list[Resolved], list[Trouble], Alias | None]:
    """The addresses that the question leads to, hints last; what was refused, one item a record; and its alias."""
    records = answer.addresses + answer.hints if answer.hints else answer.addresses
    if not answer.aliases and not answer.delegations:
        return _direct(answer.name, records)
    path, ttls, trouble = _walk(answer)
    if trouble is not None:
        return [], [trouble], None
    found: list[Resolved] = []
    refused: list[Trouble] = []
    end = len(path) - 1
    ways: dict[bytes, tuple[tuple[bytes, ...], int]] = {path[end]: (path, ttls[end])}
    for owner, ttl, address in records:
        way = ways.get(owner)
        if way is None:
            if owner not in path:
                refused.append(Trouble.OUT_OF_CHAIN)
                continue
            # One tuple for all records of an owner: who comes after may tell by identity that the names are the same.
            number = path.index(owner)
            way = ways[owner] = (path[: number + 1], ttls[number])
        found.append((way[0], min(ttl, way[1]), address))
    return found, refused, (path, ttls[end]) if end else None


def _direct(name: bytes, records: list[AddressRecord]) -> tuple[list[Resolved], list[Trouble], Alias | None]:
    """The common case: every owner is the name itself."""
    # Of no certain length: otherwise the compiler would make another tuple for each record.
    names: tuple[bytes, ...] = (name,)
    found: list[Resolved] = [(names, ttl, address) for owner, ttl, address in records if owner == name]
    return found, [Trouble.OUT_OF_CHAIN] * (len(records) - len(found)), None


def _walk(answer: Answer) -> tuple[tuple[bytes, ...], list[int], Trouble | None]:
    """The names from the question on, and for each the least TTL on the way to it."""
    if not answer.delegations and len(answer.aliases) <= MAX_HOPS:
        path, ttls = _walk_in_order(answer)
        if path:
            return tuple(path), ttls, None
    return _walk_in_any_order(answer)


def _walk_in_order(answer: Answer) -> tuple[list[bytes], list[int]]:
    """Servers send aliases in the order of the chain: nothing to look up. Nothing where they are not in order."""
    name, least = answer.name, _NEVER
    path, ttls = [name], [least]
    for owner, ttl, target in answer.aliases:
        if owner != name or target in path:
            return [], []
        name = target
        least = min(least, ttl)
        path.append(name)
        ttls.append(least)
    return path, ttls


def _walk_in_any_order(answer: Answer) -> tuple[tuple[bytes, ...], list[int], Trouble | None]:
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
