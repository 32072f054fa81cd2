"""One nftables table as a value: chains, sets and maps by name.

A `Table` is what we want, what a listing says is there, and what the simulator runs. Names are unique across chains,
and across sets and maps. Chains with a hook (base chains) and learned sets live as long as the table: packets held in a
queue die when any base chain goes, and a learned set's elements belong to whoever learns them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nft import expr


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain hangs."""

    type: str
    """`filter`, `nat` or `route`."""
    hook: str
    """`prerouting`, `input`, `forward`, `output` or `postrouting`."""
    priority: int
    policy: str = "accept"


@dataclass(frozen=True, slots=True)
class Rule:
    """Statements in order, with a comment that says what it is for (at most 128 bytes with the tag of `nft.text`)."""

    statements: tuple[expr.Statement, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order. Without a hook it is reached by jumps only."""

    name: str
    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A named set's shape."""

    name: str
    key: tuple[expr.KeyType, ...]
    is_interval: bool = False
    """Members may be networks; never together with timeouts (merging would shorten or lengthen them)."""
    has_timeout: bool = False
    is_dynamic: bool = False
    """Rules may add elements (rate limits per key)."""
    size: int | None = None
    gc_interval_seconds: int | None = None
    """How often the kernel looks for expired elements; its default of a second stalls packets at large sets."""
    is_learned: bool = False
    """Elements are written by the packet process; nobody else adds, removes or compares them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictMapping:
    """A named verdict map's shape."""

    name: str
    key: tuple[expr.KeyType, ...]


Key = tuple[expr.Value, ...]
"""The fields of an element in order, one value each (a plain set has keys of one value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An `inet` table."""

    name: str
    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    elements: Mapping[str, frozenset[Key]] = field(default_factory=dict)
    """By set name; learned and dynamic sets are absent."""
    maps: Mapping[str, VerdictMapping] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[Key, expr.Verdict]] = field(default_factory=dict)
    """By map name."""
