"""Failsafe ports as the configuration writes them (Calico: FailsafeInboundHostPorts, FailsafeOutboundHostPorts).

In a list of a document `{protocol: tcp, port: 22, net: 10.0.0.0/8}`, in text `[protocol:[net:]]port`: `22`, `udp:53`,
`tcp:10.0.0.0/8:22`, `tcp:[2001:db8::/32]:22`. The protocol is TCP where none is given.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network

from policy.hosts import FailsafePort
from policy.rules import IPNetwork
from tidegate.config.kinds import Kind, integer, listed

_PROTOCOLS = {"tcp": 6, "udp": 17}
_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_FIELDS = frozenset(("protocol", "port", "net"))
_TEXT = re.compile(r"(?:(?P<protocol>[A-Za-z]+):)?(?:(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9./]+)):)?(?P<port>[0-9]+)")


def failsafe_ports() -> Kind[tuple[FailsafePort, ...]]:
    """A list of them; `none` and the empty list are none at all."""
    return listed(Kind("[protocol:[net:]]port", _parse, _show))


def _parse(raw: object) -> FailsafePort:
    if isinstance(raw, Mapping):
        if unknown := sorted(str(key) for key in raw if key not in _FIELDS):
            raise ValueError(f"{raw!r} has unknown fields: {', '.join(unknown)}")
        return _made(raw.get("protocol"), raw.get("net"), raw.get("port"))
    found = _TEXT.fullmatch(str(raw).strip())
    if found is None or isinstance(raw, bool):
        raise ValueError(f"{raw!r} is not a port like tcp:22 or udp:10.0.0.0/8:53")
    return _made(found["protocol"], found["six"] or found["four"], found["port"])


def _made(protocol: object, net: object, port: object) -> FailsafePort:
    name = "tcp" if protocol is None else str(protocol).lower()
    if name not in _PROTOCOLS:
        raise ValueError(f"{protocol!r} is neither tcp nor udp")
    return FailsafePort(_PROTOCOLS[name], integer(1, 65535).parse(port), None if net in (None, "") else _net(net))


def _net(net: object) -> IPNetwork:
    try:
        return ip_network(str(net), strict=False)
    except ValueError as error:
        raise ValueError(f"{net!r} is not a network: {error}") from None


def _show(port: FailsafePort) -> str:
    if port.net is None:
        return f"{_NAMES[port.protocol]}:{port.port}"
    net = f"[{port.net}]" if port.net.version == 6 else str(port.net)
    return f"{_NAMES[port.protocol]}:{net}:{port.port}"
