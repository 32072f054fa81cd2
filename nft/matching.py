"""What rules see of a packet, and whether their matches hold: the leaves of the simulation.

Statements become small functions once, when a table is made ready; a packet then costs a call for each statement that
it reaches. A field that the packet does not have matches nothing, neither `==` nor `!=`, as in the kernel (NFT_BREAK).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import assert_never

from nft import expr
from nft.expr import Field
from nft.model import Key, Set

IPAddress = IPv4Address | IPv6Address


class SimulationError(ValueError):
    """The table names what it does not have, or jumps too deep: the kernel would refuse to load it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What rules can see of a packet."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    source_port: int | None = None
    """The first two bytes behind the IP header; `th sport` reads them of any protocol. None: there are none."""
    destination_port: int | None = None
    """The two bytes after those; ICMP has its checksum there."""
    icmp_type: int | None = None
    icmp_code: int | None = None
    iif: str = ""
    """"" for what the host itself sends."""
    oif: str = ""
    """"" for what the host itself receives."""
    ct_state: str = "new"
    """What conntrack says once it has seen the packet."""
    ct_direction: str = "original"
    ct_mark: int = 0
    is_syn: bool = True
    """Of TCP: it begins a connection."""
    is_translated: bool = False
    """Destination NAT changed where the connection goes."""
    mark: int = 0
    has_reverse_path: bool = True
    """Whether the source would be routed back to where the packet came from."""


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that matched to its end, or a chain's policy (index -1)."""

    chain: str
    index: int
    comment: str


@dataclass(slots=True)
class Run:
    """A packet under way: what changes from hook to hook, and what rules have done."""

    packet: Packet
    mark: int
    ct_mark: int = 0
    oif: str = ""
    ct_state: str = ""
    is_untracked: bool = False
    """`notrack` came in time: before conntrack, or for a packet that conntrack made nothing of."""
    trace: list[Step] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    remembered: list[tuple[str, Key]] = field(default_factory=list)
    """What rules put into dynamic sets, by set name."""
    queue: int | None = None


Test = Callable[[Run], bool]
"""A match, or a statement that goes on (always true)."""


# --- fields ------------------------------------------------------------------------------------------------------

Reader = Callable[[Run], expr.Value | None]
"""A field's value, None where the packet has no such field: then nothing matches, neither == nor !=."""

_ICMP, _ICMPV6 = (4, 1), (6, 58)
_TCP = 6
_WITHOUT_ENTRY = frozenset({"invalid", "untracked"})
"""Packets in these states have no conntrack entry that could have a direction or a mark."""
_WITH_NEW_ENTRY = frozenset({"new", "related"})
"""A packet in these states is the first of its connection, as far as the simulation goes."""


def _address(run: Run, attribute: str, kind: type[IPAddress]) -> expr.Value | None:
    value: IPAddress = getattr(run.packet, attribute)
    return value if isinstance(value, kind) else None


def _icmp(run: Run, attribute: str, kind: tuple[int, int]) -> expr.Value | None:
    # nft adds the comparison with the family itself, if the rule has not compared `meta l4proto` before.
    packet = run.packet
    value: int | None = getattr(packet, attribute)
    return value if (packet.source.version, packet.protocol) == kind else None


def _of_entry(run: Run, attribute: str) -> expr.Value | None:
    value: expr.Value = getattr(run.packet, attribute)
    return value if _has_entry(run) else None


def _has_entry(run: Run) -> bool:
    return run.ct_state not in _WITHOUT_ENTRY


_READERS: Mapping[Field, Reader] = {
    Field.IIFNAME: lambda run: run.packet.iif,
    Field.OIFNAME: lambda run: run.oif,
    Field.NFPROTO: lambda run: "ipv4" if isinstance(run.packet.source, IPv4Address) else "ipv6",
    Field.L4PROTO: lambda run: run.packet.protocol,
    Field.MARK: lambda run: run.mark,
    Field.IP_SADDR: lambda run: _address(run, "source", IPv4Address),
    Field.IP_DADDR: lambda run: _address(run, "destination", IPv4Address),
    Field.IP6_SADDR: lambda run: _address(run, "source", IPv6Address),
    Field.IP6_DADDR: lambda run: _address(run, "destination", IPv6Address),
    Field.SPORT: lambda run: run.packet.source_port,
    Field.DPORT: lambda run: run.packet.destination_port,
    Field.ICMP_TYPE: lambda run: _icmp(run, "icmp_type", _ICMP),
    Field.ICMP_CODE: lambda run: _icmp(run, "icmp_code", _ICMP),
    Field.ICMPV6_TYPE: lambda run: _icmp(run, "icmp_type", _ICMPV6),
    Field.ICMPV6_CODE: lambda run: _icmp(run, "icmp_code", _ICMPV6),
    Field.CT_STATE: lambda run: run.ct_state,
    Field.CT_DIRECTION: lambda run: _of_entry(run, "ct_direction"),
    Field.CT_MARK: lambda run: run.ct_mark if _has_entry(run) else None,
}


def reader(item: Field) -> Reader:
    """Reads the field."""
    return _READERS[item]


# --- statements --------------------------------------------------------------------------------------------------


def make_test(item: expr.Statement, sets: Mapping[str, "Contains"]) -> Test:  # noqa: C901, PLR0911, PLR0912 - the kinds
    """The function for a statement that is not the end of a rule.

    Raises:
        SimulationError: it names a set that is not there, or ends the rule.
    """
    match item:
        case expr.Compare():
            return _compare(item)
        case expr.MarkBits(mask=mask, op=op, value=value):
            return partial(_mark_bits, mask, value, op is expr.Op.EQ)
        case expr.ConnectionMarkBits(mask=mask, op=op, value=value):
            return partial(_connection_mark_bits, mask, value, op is expr.Op.EQ)
        case expr.Lookup(fields=fields, set_name=name, negated=negated):
            if name not in sets:
                raise SimulationError(f"cannot find set {name}")
            return partial(_lookup, tuple(map(reader, fields)), sets[name], negated)
        case expr.ReversePathMissing():
            return lambda run: not run.packet.has_reverse_path
        case expr.SocketTransparent() | expr.TransparentProxy():
            return _no_socket
        case expr.SentByHost():
            return lambda run: not run.packet.iif
        case expr.MidStream():
            return lambda run: run.packet.protocol == _TCP and not run.packet.is_syn
        case expr.FirstOfConnection():
            return lambda run: run.ct_state in _WITH_NEW_ENTRY
        case expr.DestinationTranslated(negated=negated):
            return partial(_is_translated, negated)
        case expr.SetMark(mask=mask, value=value):
            return partial(_set_mark, mask, value)
        case expr.SetConnectionMark(mask=mask, value=value):
            return partial(_set_connection_mark, mask, value)
        case expr.LogToKernel(prefix=prefix):
            return partial(_log, prefix)
        case expr.LogToGroup(group=group):
            return partial(_log, f"group {group}")
        case expr.NoTrack():
            return _no_track
        case expr.RateLimitPer(fields=fields):
            return partial(_has_key, tuple(map(reader, fields)))
        case expr.Remember(fields=fields, set_name=name):
            if name not in sets:
                raise SimulationError(f"cannot find set {name}")
            return partial(_remember, tuple(map(reader, fields)), name)
        case expr.RateLimit(is_over=True) | expr.ConnectionsOver():
            return _never
        case expr.Counter() | expr.RateLimit():
            return _go_on
        case _:
            raise SimulationError(f"cannot have {item} before the end of a rule")


def _go_on(run: Run) -> bool:  # noqa: ARG001
    return True


def _never(run: Run) -> bool:  # noqa: ARG001
    return False


def _no_socket(run: Run) -> bool:  # noqa: ARG001
    return False


def _has_key(readers: tuple[Reader, ...], run: Run) -> bool:
    return key_of(readers, run) is not None


def _remember(readers: tuple[Reader, ...], name: str, run: Run) -> bool:
    key = key_of(readers, run)
    if key is not None:
        run.remembered.append((name, key))
    return key is not None


def _no_track(run: Run) -> bool:
    if run.ct_state == "invalid":  # there is no entry, or not yet
        run.is_untracked = True
        run.ct_state = "untracked"
    return True


def _log(text: str, run: Run) -> bool:
    run.logs.append(text)
    return True


def _set_mark(mask: int, value: int, run: Run) -> bool:
    run.mark = run.mark & ~mask & 0xFFFFFFFF | value
    return True


def _set_connection_mark(mask: int, value: int, run: Run) -> bool:
    """Without an entry nothing happens, and the rule goes on (kernel: nft_ct_set_eval)."""
    if _has_entry(run):
        run.ct_mark = run.ct_mark & ~mask & 0xFFFFFFFF | value
    return True


def _connection_mark_bits(mask: int, value: int, is_equal: bool, run: Run) -> bool:  # noqa: FBT001
    return _has_entry(run) and (run.ct_mark & mask == value) is is_equal


def _is_translated(negated: bool, run: Run) -> bool:  # noqa: FBT001
    """A packet without an entry has no status to ask for, neither way (kernel: nft_ct.c, NFT_BREAK)."""
    return _has_entry(run) and run.packet.is_translated is not negated


def _mark_bits(mask: int, value: int, is_equal: bool, run: Run) -> bool:  # noqa: FBT001
    return (run.mark & mask == value) is is_equal


def _lookup(readers: tuple[Reader, ...], holds: "Contains", negated: bool, run: Run) -> bool:  # noqa: FBT001
    key = key_of(readers, run)
    return key is not None and holds(key) is not negated


def key_of(readers: tuple[Reader, ...], run: Run) -> Key | None:
    """The packet's key for a set or map; None where it lacks a field."""
    values = [read(run) for read in readers]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None


def _compare(item: expr.Compare) -> Test:
    read, is_equal = reader(item.field), item.op is expr.Op.EQ
    wanted = item.value
    if item.field is Field.CT_STATE:
        states = frozenset(str(wanted).split(","))
        return lambda run: (read(run) in states) is is_equal
    if item.field.type is expr.KeyType.IFNAME and str(wanted).endswith("*"):
        prefix = str(wanted)[:-1]
        return lambda run: str(read(run)).startswith(prefix) is is_equal
    return partial(_matches, read, _predicate(wanted), is_equal)


def _matches(read: Reader, holds: Callable[[expr.Value], bool], is_equal: bool, run: Run) -> bool:  # noqa: FBT001
    value = read(run)
    return value is not None and holds(value) is is_equal


def _predicate(wanted: expr.Value | expr.Range) -> Callable[[expr.Value], bool]:
    match wanted:
        case expr.Range(first=first, last=last):
            return lambda value: isinstance(value, int) and first <= value <= last
        case IPv4Network() | IPv6Network():
            return lambda value: value in wanted
        case str() | int() | IPv4Address() | IPv6Address():
            return lambda value: value == wanted
        case _:
            assert_never(wanted)


# --- sets --------------------------------------------------------------------------------------------------------

Contains = Callable[[Key], bool]


def contains(shape: Set, keys: Iterable[Key]) -> Contains:
    """Membership: by hash, in an interval set of networks by hash once for each prefix length that occurs."""
    if not shape.is_interval:
        members = frozenset(keys)
        return lambda key: key in members
    if len(shape.key) == 1 and shape.key[0] in (expr.KeyType.IPV4, expr.KeyType.IPV6):
        return partial(_in_networks, _by_length(key[0] for key in keys))
    tests = [tuple(map(_predicate, key)) for key in keys]
    return lambda key: any(all(test(value) for test, value in zip(each, key, strict=True)) for each in tests)


def _by_length(values: Iterable[expr.Value]) -> dict[int, set[int]]:
    lengths: dict[int, set[int]] = {}
    for value in values:
        if isinstance(value, IPv4Network | IPv6Network):
            shift = value.max_prefixlen - value.prefixlen
            lengths.setdefault(shift, set()).add(int(value.network_address) >> shift)
        elif isinstance(value, IPv4Address | IPv6Address):
            lengths.setdefault(0, set()).add(int(value))
    return lengths


def _in_networks(lengths: Mapping[int, set[int]], key: Key) -> bool:
    assert isinstance(key[0], IPv4Address | IPv6Address)
    number = int(key[0])
    return any(number >> shift in networks for shift, networks in lengths.items())
