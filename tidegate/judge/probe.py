"""Probes: questions about one connection, as lines of JSON.

{"id": 1, "from": {"pod": "prod/web"}, "to": {"ip": "192.0.2.1"}, "protocol": "TCP", "port": 443}
{"id": 2, "from": {"pod": "prod/web"}, "service": "prod/db", "protocol": "TCP", "port": 5432}
"""

from dataclasses import dataclass, replace

from policy.rules import EndpointID, IPAddress
from tidegate.judge.errors import ProbeError
from tidegate.judge.fields import Fields

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1, "ICMPV6": 58, "UDPLITE": 136}
"""By name in upper case; any other is given by its IANA number."""
PORTED = frozenset((6, 17, 132, 136))
ICMP_FAMILY = {1: 4, 58: 6}
EPHEMERAL_PORT = 49152
"""The source port of a probe that names none: no packet is without one (RFC 6335 6)."""
ECHO_REQUEST = {1: 8, 58: 128}
"""The ICMP type of a probe that names none."""

_KEYS = frozenset(("id", "from", "to", "protocol", "port", "sourcePort", "icmpType", "icmpCode", "service", "family"))
_PARTY_KEYS = frozenset(("pod", "endpoint", "ip", "host", "interface"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyReference:
    """Who sends or receives, as the probe names it."""

    path: str
    """Where in the probe it stands, for messages."""
    endpoint: EndpointID | None = None
    host: str | None = None
    host_endpoint: str | None = None
    """By its name: the interface of a host that it protects."""
    address: IPAddress | None = None
    """With `host`, the one of its addresses that is meant."""
    interface: str = ""
    """Of the party's node: the one that leads to the other party. "" leaves it to the addresses."""

    @property
    def name(self) -> str:
        """Who it is, for messages."""
        return self.endpoint or self.host_endpoint or self.host or str(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A question; who the parties are is looked up later."""

    id: object
    """Whatever the asker wants to know the answer by."""
    source: PartyReference
    destination: PartyReference
    protocol: int
    port: int | None = None
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    family: int | None = None
    """4 or 6: which addresses of dual-stack parties are meant."""
    service: tuple[str, str] | None = None
    """Namespace and name of the Service that is connected to: `port` is its port. The destination is the endpoint that
    answers, or without an address any of them."""


def parse_probe(line: str) -> Probe:
    """Reads one line.

    Raises:
        ProbeError: something in it is wrong; the path says what.
    """
    fields = Fields.parse(line, _KEYS)
    protocol = _protocol(fields)
    service = _service(fields)
    is_told = "to" in fields.values or service is None
    probe = Probe(
        id=fields.values.get("id"),
        source=_party(fields, "from"),
        destination=_party(fields, "to") if is_told else PartyReference(path="service"),
        service=service,
        protocol=protocol,
        family=_family(fields, protocol),
        port=fields.number("port", 0, 65535),
        source_port=fields.number("sourcePort", 0, 65535),
        icmp_type=fields.number("icmpType", 0, 255),
        icmp_code=fields.number("icmpCode", 0, 255),
    )
    return _completed(probe)


def _service(fields: Fields) -> tuple[str, str] | None:
    text = fields.text("service")
    if text is None:
        return None
    namespace, _, name = text.partition("/")
    if not (namespace and name) or "/" in name:
        raise ProbeError("service", f"cannot be {text!r}: namespace/name is needed")
    return namespace, name


def _protocol(fields: Fields) -> int:
    value = fields.values.get("protocol")
    if isinstance(value, str):
        if value.upper() in PROTOCOLS:
            return PROTOCOLS[value.upper()]
        if value.isascii() and value.isdigit() and int(value) <= 255:
            return int(value)
        raise ProbeError("protocol", f"cannot be {value!r}: TCP, UDP, SCTP, ICMP, ICMPv6 or a number is needed")
    number = fields.number("protocol", 0, 255)
    if number is None:
        raise ProbeError("protocol", "is missing")
    return number


def _family(fields: Fields, protocol: int) -> int | None:
    family = fields.number("family", 4, 6)
    if family == 5:
        raise ProbeError("family", "cannot be 5: 4 or 6 is needed")
    implied = ICMP_FAMILY.get(protocol)
    if implied is not None and family not in (None, implied):
        raise ProbeError("family", f"cannot be {family}: the protocol is of IPv{implied}")
    return family if implied is None else implied


def _party(fields: Fields, key: str) -> PartyReference:
    party = fields.nested(key, _PARTY_KEYS)
    pod, endpoint, host = party.text("pod"), party.text("endpoint"), party.text("host")
    address = party.address("ip")
    named = [item for item in (pod, endpoint, host) if item is not None]
    if len(named) > 1 or (address is not None and named and host is None) or not (named or address):
        raise ProbeError(key, "cannot be read: one of pod, endpoint, ip and host is needed")
    identity = pod or endpoint
    interface = party.text("interface") or ""
    if endpoint is not None and "/" not in endpoint:
        return PartyReference(path=key, host_endpoint=endpoint, interface=interface)
    if identity is not None and identity.count("/") != 1:
        raise ProbeError(f"{key}.{'pod' if pod else 'endpoint'}", f"cannot be {identity!r}: namespace/name is needed")
    return PartyReference(
        path=key,
        endpoint=EndpointID(identity) if identity else None,
        host=host,
        address=address,
        interface=interface,
    )


def _completed(probe: Probe) -> Probe:
    """Checks what the protocol needs, and fills in what every packet has but probes may leave out."""
    is_icmp, has_ports = probe.protocol in ICMP_FAMILY, probe.protocol in PORTED
    if has_ports and probe.port is None:
        raise ProbeError("port", "is missing: the protocol has ports")
    return replace(
        probe,
        port=probe.port if has_ports else None,
        source_port=(EPHEMERAL_PORT if probe.source_port is None else probe.source_port) if has_ports else None,
        icmp_type=(ECHO_REQUEST[probe.protocol] if probe.icmp_type is None else probe.icmp_type) if is_icmp else None,
        icmp_code=(probe.icmp_code or 0) if is_icmp else None,
    )
