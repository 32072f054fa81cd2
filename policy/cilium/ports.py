"""`toPorts` and `icmps` as protocols and ports of rules here."""

from collections.abc import Iterator

from policy.cilium.context import Context
from policy.cilium.part import Part
from policy.cilium.remarks import CannotError, Effect, Remark

Match = dict[str, object]
"""What a rule says beside its peer: protocol, ICMP message, and `ports` of the destination."""

_TRANSPORTS = ("TCP", "UDP", "SCTP")
_MAX_PORTS = 50
"""Of one rule (Calico: EntityRule.ports)."""
_MESSAGES = {
    "ICMP": {"EchoReply": 0, "DestinationUnreachable": 3, "Redirect": 5, "Echo": 8, "EchoRequest": 8,
           "RouterAdvertisement": 9, "RouterSelection": 10, "TimeExceeded": 11, "ParameterProblem": 12, "Timestamp": 13,
           "TimestampReply": 14, "Photuris": 40, "ExtendedEchoRequest": 42, "ExtendedEchoReply": 43},
    "ICMPv6": {"DestinationUnreachable": 1, "PacketTooBig": 2, "TimeExceeded": 3, "ParameterProblem": 4,
             "EchoRequest": 128, "EchoReply": 129, "MulticastListenerQuery": 130, "MulticastListenerReport": 131,
             "MulticastListenerDone": 132, "RouterSolicitation": 133, "RouterAdvertisement": 134,
             "NeighborSolicitation": 135, "NeighborAdvertisement": 136, "RedirectMessage": 137,
             "RouterRenumbering": 138},
}  # fmt: skip
"""ICMP messages by the names that Cilium takes (IANA: ICMP type numbers)."""


def matches(rule: Part, context: Context) -> list[Match]:
    """What a rule says of protocols and ports; one empty match if it says nothing.

    Raises:
        CannotError: a part of it cannot be said here.
    """
    ports, messages = rule.get("toPorts"), rule.get("icmps")
    if ports is not None and messages is not None:
        raise CannotError(messages.path, "cannot stand beside toPorts")
    if ports is not None:
        return [match for item in ports.items() for match in context.parts(item, _ports)]
    if messages is not None:
        return [match for item in messages.items() for match in context.parts(item, _messages)]
    return [{}]


def _ports(part: Part, context: Context) -> list[Match]:
    part.only("ports", "rules")
    _layer_seven(part.get("rules"), context)
    listed = part.get("ports")
    by_protocol: dict[str, list[object] | None] = {}
    for item in listed.items() if listed else ():
        for protocol, port in _port(item):
            known = by_protocol.setdefault(protocol, [])
            if port is None or known is None:
                by_protocol[protocol] = None
            else:
                known.append(port)
    if not by_protocol:
        return [{}]
    return [match for protocol, ports in by_protocol.items() for match in _of_protocol(protocol, ports)]


def _of_protocol(protocol: str, ports: list[object] | None) -> Iterator[Match]:
    if ports is None:
        yield {"protocol": protocol}
        return
    for first in range(0, len(ports), _MAX_PORTS):
        yield {"protocol": protocol, "ports": ports[first : first + _MAX_PORTS]}


def _layer_seven(rules: Part | None, context: Context) -> None:
    for name, part in rules.fields() if rules else ():
        if name != "dns":
            raise CannotError(part.path, f"{name} is not judged at layers 3 and 4")
        message = "which names may be asked is judged by the forwarder: mode Proxy and dnsProxyNames: Policy"
        context.tell(Remark(part.path, Effect.WIDER, message))


def _port(part: Part) -> Iterator[tuple[str, object]]:
    """Protocols with their port; None is all of them."""
    part.only("port", "endPort", "protocol")
    port, end, protocol = part.get("port"), part.get("endPort"), part.get("protocol")
    name = protocol.text().upper() if protocol else "ANY"
    if name not in {*_TRANSPORTS, "ANY"}:
        raise CannotError(protocol.path if protocol else part.path, f"protocol {name} has no ports here")
    for transport in _TRANSPORTS if name == "ANY" else (name,):
        yield transport, _number(port, end)


def _number(port: Part | None, end: Part | None) -> object:
    text = port.text() if port else "0"
    if not text.isdecimal():
        return text
    if int(text) == 0:
        return None
    return f"{text}:{end.text()}" if end is not None and end.text() != "0" else int(text)


def _messages(part: Part, context: Context) -> Iterator[Match]:
    del context
    part.only("fields")
    fields = part.get("fields")
    for field in fields.items() if fields else ():
        field.only("family", "type")
        family, kind = field.get("family"), field.get("type")
        protocol = "ICMPv6" if family is not None and family.text() == "IPv6" else "ICMP"
        if kind is None:
            raise CannotError(field.path, "needs a type")
        yield {"protocol": protocol, "icmp": {"type": _message(protocol, kind)}}


def _message(protocol: str, kind: Part) -> int:
    text = kind.text()
    number = int(text) if text.isdecimal() else _MESSAGES[protocol].get(text)
    if number is None:
        raise CannotError(kind.path, f"there is no message {text}")
    return number
