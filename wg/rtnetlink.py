"""The kernel's words for links, addresses, rules and routes, as a tunnel needs them (linux/rtnetlink.h). Pure."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network

from netlink import message
from wg.model import IPAddress, IPNetwork
from wg.routing import Route, RouteKind, Routing

NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_RULE, DELETE_RULE, GET_RULE = 32, 33, 34

FAMILY = {4: 2, 6: 10}
"""AF_INET, AF_INET6."""
_VERSION = {number: version for version, number in FAMILY.items()}
_LENGTH = {4: 32, 6: 128}

_LINK = struct.Struct("=BBHiII")
"""struct ifinfomsg: family, pad, type, index, flags, which flags change."""
_ADDRESS = struct.Struct("=BBBBi")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg and struct fib_rule_hdr: family, two prefix lengths, tos, table, protocol, scope, type, flags."""
_IFLA_NAME, _IFLA_MTU, _IFLA_INFO, _IFLA_INFO_KIND = 3, 4, 18, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DESTINATION, _RTA_DEVICE, _RTA_METRIC, _RTA_TABLE = 1, 4, 6, 15
_FRA_PRIORITY, _FRA_MARK, _FRA_TABLE, _FRA_MASK = 6, 10, 15, 16
_UP = 1
_UNICAST, _UNREACHABLE, _THROW = 1, 7, 9
_SCOPE_LINK, _SCOPE_UNIVERSE = 253, 0
_STATIC = 4
_INVERT, _TO_TABLE = 2, 1
_TYPES = {RouteKind.TUNNEL: _UNICAST, RouteKind.THROW: _THROW, RouteKind.UNREACHABLE: _UNREACHABLE}


@dataclass(frozen=True, slots=True)
class Link:
    """A device, as the kernel says."""

    index: int
    mtu: int
    is_up: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that looks into a table."""

    table: int
    priority: int
    mark: int
    mask: int
    is_inverted: bool = True


def create_link(name: str) -> bytes:
    """A new device of the kernel's own WireGuard."""
    kind = message.nested(_IFLA_INFO, message.attribute(_IFLA_INFO_KIND, b"wireguard"))
    return _LINK.pack(0, 0, 0, 0, 0, 0) + message.text(_IFLA_NAME, name) + kind


def named_link(name: str) -> bytes:
    """A device by its name, to ask for it or to delete it."""
    return _LINK.pack(0, 0, 0, 0, 0, 0) + message.text(_IFLA_NAME, name)


def raise_link(index: int, mtu: int) -> bytes:
    """The device is up, with that MTU."""
    return _LINK.pack(0, 0, 0, index, _UP, _UP) + _u32(_IFLA_MTU, mtu)


def read_link(payload: memoryview) -> Link:
    """What `named_link` was answered with."""
    _, _, _, index, flags, _ = _LINK.unpack_from(payload)
    found = dict(message.attributes(payload[_LINK.size :]))
    return Link(index, _number(found.get(_IFLA_MTU)), bool(flags & _UP))


def address(index: int, own: IPAddress) -> bytes:
    """An address of the device, as a network of its own: no route comes with it."""
    head = _ADDRESS.pack(FAMILY[own.version], _LENGTH[own.version], 0, 0, index)
    return head + message.attribute(_IFA_LOCAL, own.packed) + message.attribute(_IFA_ADDRESS, own.packed)


def all_addresses(version: int) -> bytes:
    """What asks for the addresses of every device."""
    return _ADDRESS.pack(FAMILY[version], 0, 0, 0, 0)


def read_address(payload: memoryview) -> tuple[int, int, IPAddress]:
    """Index of the device, prefix length, address."""
    _, length, _, _, index = _ADDRESS.unpack_from(payload)
    found = dict(message.attributes(payload[_ADDRESS.size :]))
    return index, length, ip_address(bytes(found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))))


def route(item: Route, table: int, index: int) -> bytes:
    """A line of the table; `index` is the device's."""
    network, tunnels = item.network, item.kind is RouteKind.TUNNEL
    scope = _SCOPE_LINK if tunnels and network.version == 4 else _SCOPE_UNIVERSE
    head = _ROUTE.pack(FAMILY[network.version], network.prefixlen, 0, 0, 0, _STATIC, scope, _TYPES[item.kind], 0)
    return (
        head
        + message.attribute(_RTA_DESTINATION, network.network_address.packed)
        + _u32(_RTA_METRIC, item.kind.value)
        + _u32(_RTA_TABLE, table)
        + (_u32(_RTA_DEVICE, index) if tunnels else b"")
    )


def all_routes(version: int) -> bytes:
    """What asks for the routes of every table."""
    return _ROUTE.pack(FAMILY[version], 0, 0, 0, 0, 0, 0, 0, 0)


def read_route(payload: memoryview, table: int, index: int) -> Route | None:
    """A line of that table that one of ours could be; None for all others."""
    family, length, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(payload)
    found = dict(message.attributes(payload[_ROUTE.size :]))
    if _number(found.get(_RTA_TABLE)) != table or family not in _VERSION:
        return None
    metric = _number(found.get(_RTA_METRIC))
    ours = next((each for each, number in _TYPES.items() if number == kind and each.value == metric), None)
    if ours is None or (ours is RouteKind.TUNNEL and _number(found.get(_RTA_DEVICE)) != index):
        return None
    return Route(_network(_VERSION[family], found.get(_RTA_DESTINATION), length), ours)


def rule(item: Rule, version: int) -> bytes:
    """A rule."""
    head = _ROUTE.pack(FAMILY[version], 0, 0, 0, 0, 0, 0, _TO_TABLE, _INVERT if item.is_inverted else 0)
    return (
        head
        + _u32(_FRA_PRIORITY, item.priority)
        + _u32(_FRA_MARK, item.mark)
        + _u32(_FRA_MASK, item.mask)
        + _u32(_FRA_TABLE, item.table)
    )


def all_rules(version: int) -> bytes:
    """What asks for all rules."""
    return _ROUTE.pack(FAMILY[version], 0, 0, 0, 0, 0, 0, 0, 0)


def read_rule(payload: memoryview) -> Rule:
    """A rule; one without a table has 0."""
    flags = _ROUTE.unpack_from(payload)[8]
    found = dict(message.attributes(payload[_ROUTE.size :]))
    return Rule(
        table=_number(found.get(_FRA_TABLE)),
        priority=_number(found.get(_FRA_PRIORITY)),
        mark=_number(found.get(_FRA_MARK)),
        mask=_number(found.get(_FRA_MASK)),
        is_inverted=bool(flags & _INVERT),
    )


def wanted_rule(routing: Routing) -> Rule:
    """The one that leads into the tunnel's table."""
    return Rule(routing.table, routing.priority, routing.fwmark, routing.fwmark)


def _network(version: int, destination: memoryview | None, length: int) -> IPNetwork:
    return _known_network(bytes(destination) if destination is not None else bytes(_LENGTH[version] // 8), length)


@lru_cache(maxsize=1 << 14)
def _known_network(packed: bytes, length: int) -> IPNetwork:
    """The same tables are read again and again, and to make a network takes longer than to read its route."""
    return ip_network((ip_address(packed), length))


def _number(data: memoryview | None) -> int:
    return 0 if data is None else struct.unpack("=I", data)[0]


def _u32(kind: int, value: int) -> bytes:
    return message.attribute(kind, struct.pack("=I", value))
