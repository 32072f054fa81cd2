"""Kinds of the forwarder's settings: servers, name patterns, record types."""

import re
from ipaddress import ip_address

from dnsagent.snapshot import Upstream
from policy.domains import DomainError, DomainPattern
from tidegate.config.kinds import Kind

_PORTS = {"udp": 53, "tcp": 53, "tls": 853}
_FORM = re.compile(
    r"(?:(?P<transport>udp|tcp|tls)://)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^\[\]:#]+|[0-9a-fA-F:]+))(?::(?P<port>\d{1,5}))?"
    r"(?:#(?P<name>[A-Za-z0-9._-]+))?"
)
_TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "NULL": 10, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "KEY": 25,
    "AAAA": 28, "SRV": 33, "NAPTR": 35, "DNAME": 39, "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "TLSA": 52,
    "SVCB": 64, "HTTPS": 65, "SPF": 99, "AXFR": 252, "ANY": 255, "URI": 256, "CAA": 257,
}  # fmt: skip
_WORDS = {number: word for word, number in _TYPES.items()}


def upstream() -> Kind[Upstream]:
    """The kind of a server that the forwarder asks."""
    return Kind("[udp|tcp|tls://]address[:port][#name in the certificate]", _parse_upstream, _show_upstream)


def _parse_upstream(raw: object) -> Upstream:
    text = str(raw).strip()
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a server like tls://192.0.2.1:853#dns.example")
    transport = found["transport"] or "udp"
    port = int(found["port"] or _PORTS[transport])
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port")
    if found["name"] and transport != "tls":
        raise ValueError(f"{text!r}: only a tls server shows a certificate")
    try:
        address = ip_address(found["six"] or found["host"])
    except ValueError as error:
        raise ValueError(f"{text!r} is not a server: {error}") from None
    return Upstream(transport=transport, address=address, port=port, name=found["name"] or "")


def _show_upstream(value: Upstream) -> str:
    host = f"[{value.address}]" if value.address.version == 6 else str(value.address)
    return f"{value.transport}://{host}:{value.port}{'#' if value.name else ''}{value.name}"


def pattern() -> Kind[str]:
    """The kind of a name pattern, in canonical form."""

    def parse(raw: object) -> str:
        try:
            return str(DomainPattern.parse(str(raw)))
        except DomainError as error:
            raise ValueError(str(error)) from None

    return Kind("name or pattern as in policy", parse, lambda value: value)


def record_type() -> Kind[int]:
    """The kind of a record type: its word, `TYPE65` or a number."""

    def parse(raw: object) -> int:
        text = str(raw).strip().upper().removeprefix("TYPE")
        number = _TYPES.get(text, int(text) if text.isdigit() else 0)
        if not 1 <= number <= 65535:
            raise ValueError(f"{raw!r} is not a record type")
        return number

    return Kind("record type", parse, lambda value: _WORDS.get(value, f"TYPE{value}"))
