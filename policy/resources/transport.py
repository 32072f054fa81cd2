"""Ports and protocols: the two kinds of field that take both numbers and text (Calico: numorstring)."""

import re
from typing import Annotated

from pydantic import PlainValidator, Strict

from policy.resources.fields import between, one_of, shown, unlike
from policy.rules import PortRange

MAX_PORT = 65535
PROTOCOLS = {"ICMP": 1, "TCP": 6, "UDP": 17, "ICMPv6": 58, "SCTP": 132, "UDPLite": 136}
"""The names a protocol may have, in this spelling only; everything else is a number (IANA)."""
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
PORT_PROTOCOLS = frozenset((TCP, UDP, SCTP))
"""Protocols whose ports a rule may name."""

_PORT_RANGE = re.compile(r"([0-9]+):([0-9]+)")
_SERVICE_NAME = re.compile(r"(?=[^a-z]*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_PORT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


def _port(value: object) -> PortRange | str:
    if isinstance(value, PortRange):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise unlike("a port number, a range such as '80:90', or a port's name", value)
    if isinstance(value, int):
        return _port_range(value, value)
    if value.isascii() and value.isdigit():
        return _port_range(_digits(value), _digits(value))
    if found := _PORT_RANGE.fullmatch(value):
        return _port_range(_digits(found[1]), _digits(found[2]))
    if not _PORT_NAME.fullmatch(value):
        raise ValueError(f"cannot be {shown(value)}: names of ports have 1 to 128 letters, digits, '_', '.' and '-'")
    return value


def _digits(text: str) -> int:
    """The number, or one that is certainly too large: Python refuses to read 5,000 digits."""
    return int(text) if len(text.lstrip("0")) <= 9 else 10**9


def _port_range(first: int, last: int) -> PortRange:
    if not 1 <= first <= MAX_PORT or not 1 <= last <= MAX_PORT:
        raise ValueError(f"cannot be outside of 1 to {MAX_PORT}")
    if first > last:
        raise ValueError(f"cannot run from {first} down to {last}: write {last}:{first}")
    return PortRange(first, last)


def _protocol(value: object) -> int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        if value not in PROTOCOLS:
            raise ValueError(f"cannot be {shown(value)}: {_protocol_advice(value)}")
        return PROTOCOLS[value]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise unlike("the name or the number of a protocol", value)
    number = _digits(value) if isinstance(value, str) else value
    if not 1 <= number <= 255:
        raise ValueError(f"cannot be {shown(value)}: numbers of protocols run from 1 to 255")
    return number


def _protocol_advice(value: str) -> str:
    for name in PROTOCOLS:
        if name.lower() == value.lower():
            return f"write {name}"
    return f"must be {one_of(list(PROTOCOLS))}, or a number from 1 to 255"


def _transport(value: object) -> int:
    number = _protocol(value)
    if number not in PORT_PROTOCOLS:
        raise ValueError(f"cannot be {shown(value)}: only TCP, UDP and SCTP have ports here")
    return number


def _kubernetes_port(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        return _port_range(value, value).first
    if not isinstance(value, str):
        raise unlike("a port number or a port's name", value)
    return _port_name(value)


def _port_name(value: object) -> str:
    if not isinstance(value, str):
        raise unlike("a port's name", value)
    if len(value) > 15 or not _SERVICE_NAME.fullmatch(value):
        wrong = "names of ports have up to 15 lower-case letters, digits and single '-', and at least one letter"
        raise ValueError(f"cannot be {shown(value)}: {wrong}")
    return value


Port = Annotated[PortRange | str, PlainValidator(_port)]
Protocol = Annotated[int, PlainValidator(_protocol)]
"""IANA number."""
TransportProtocol = Annotated[int, PlainValidator(_transport)]
"""IANA number of TCP, UDP or SCTP."""
KubernetesPort = Annotated[int | str, PlainValidator(_kubernetes_port)]
"""A number, or a name as RFC 6335 5.1 has it; here a string of digits is neither."""
PortName = Annotated[str, PlainValidator(_port_name)]
"""A name as RFC 6335 5.1 has it."""
PortNumber = Annotated[int, Strict(), between(1, MAX_PORT)]
