"""What the kernel has, as a value: the shapes from a listing of libnftables, the rules by the tags in their comments.

Pure. Rules are not parsed back into statements: each of ours carries the hash of its chain and its number in it
(`nft.text.tag`), so a chain is ours and whole if its rules carry one hash and the numbers 0, 1, 2 and so on. Whoever
edits a rule by hand loses the tag, or its place.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nft.expr import KeyType, Verdict
from nft.keys import Packed
from nft.model import Hook, Set, VerdictMapping

_TAG = re.compile(r"#(?P<hash>[0-9a-f]{16}):(?P<number>\d+)$")


@dataclass(frozen=True, slots=True)
class ListedChain:
    """A chain in the kernel."""

    hook: Hook | None
    digest: str | None
    """The hash in the tags of its rules, if they all have the same one and stand in order; else None."""
    rule_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One table in the kernel."""

    chains: Mapping[str, ListedChain] = field(default_factory=dict)
    sets: Mapping[str, Set | None] = field(default_factory=dict)
    """None: a set of a shape that we have no words for. `is_learned` is never set: the kernel does not know."""
    maps: Mapping[str, VerdictMapping | None] = field(default_factory=dict)
    elements: Mapping[str, frozenset[Packed]] = field(default_factory=dict)
    """By set, for those sets whose elements were read."""
    verdicts: Mapping[str, Mapping[Packed, Verdict | None]] = field(default_factory=dict)
    """By map."""


def digest(comments: Sequence[str]) -> str | None:
    """The hash that the comments of a chain's rules all carry, if their numbers count from 0; else None."""
    tags = [_TAG.search(comment) for comment in comments]
    hashes = {tag["hash"] for number, tag in enumerate(tags) if tag and int(tag["number"]) == number}
    is_whole = len(hashes) == 1 and all(tag and int(tag["number"]) == number for number, tag in enumerate(tags))
    return hashes.pop() if is_whole else None


def hooks(objects: Iterable[Mapping[str, Any]], table: str) -> dict[str, Hook | None]:
    """The chains of the table by name, from the JSON of `list chains`."""
    return {
        chain["name"]: Hook(chain["type"], chain["hook"], int(chain["prio"]), chain.get("policy", "accept"))
        if "hook" in chain
        else None
        for chain in _of(objects, "chain", table)
    }


def sets(objects: Iterable[Mapping[str, Any]], table: str) -> dict[str, Set | None]:
    """The shapes of the table's sets by name, from the JSON of `list sets`."""
    return {each["name"]: _set(each) for each in _of(objects, "set", table)}


def maps(objects: Iterable[Mapping[str, Any]], table: str) -> dict[str, VerdictMapping | None]:
    """The shapes of the table's maps by name, from the JSON of `list maps`."""
    return {each["name"]: _map(each) for each in _of(objects, "map", table)}


def _of(objects: Iterable[Mapping[str, Any]], kind: str, table: str) -> Iterable[Mapping[str, Any]]:
    for each in objects:
        found = each.get(kind)
        if found is not None and (found["family"], found["table"]) == ("inet", table):
            yield found


def _set(described: Mapping[str, Any]) -> Set | None:
    key = _key(described["type"])
    flags = _words(described.get("flags", ()))
    if key is None or not flags <= {"interval", "timeout", "dynamic"} or "timeout" in described:
        return None
    return Set(
        name=described["name"],
        key=key,
        is_interval="interval" in flags,
        has_timeout="timeout" in flags,
        is_dynamic="dynamic" in flags,
        size=described.get("size"),
        gc_interval_seconds=described.get("gc-interval"),
    )


def _map(described: Mapping[str, Any]) -> VerdictMapping | None:
    key = _key(described["type"])
    if key is None or described["map"] != "verdict" or described.get("flags"):
        return None
    return VerdictMapping(name=described["name"], key=key)


def _key(described: object) -> tuple[KeyType, ...] | None:
    names = [described] if isinstance(described, str) else described
    if not isinstance(names, Sequence):
        return None
    try:
        return tuple(KeyType(name) for name in names)
    except ValueError:
        return None


def _words(described: str | Sequence[str]) -> set[str]:
    return {described} if isinstance(described, str) else set(described)
