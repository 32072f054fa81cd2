"""Reads what `explain` is asked: `--from ns/pod|IP --to HOST_OR_IP:PORT[/PROTO]`. Pure."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from policy.domains import DomainError, DomainName
from policy.rules import EndpointID, HostEndpointID, IPAddress
from tidegate.judge.probe import ECHO_REQUEST, EPHEMERAL_PORT, ICMP_FAMILY, PORTED, PROTOCOLS, PartyReference, Probe

_TO = re.compile(
    r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<host>[^\[\]:]+?))"
    r"(?::(?P<port>\d{1,5}))?(?:/(?P<protocol>[A-Za-z]\w*|\d{1,3}))?"
)
_ENDPOINT = re.compile(r"[^/\s]+/[^/\s]+")
_HOST_ENDPOINT = re.compile(r"[a-z][a-z0-9.-]*")


class QuestionError(Exception):
    """The question makes no sense; the message says why."""


class SilenceError(Exception):
    """Whoever knows the answer does not answer now; the message says who."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One connection."""

    source: EndpointID | HostEndpointID | IPAddress
    destination: EndpointID | IPAddress | DomainName
    protocol: int
    port: int | None

    def probe(self, destination: EndpointID | HostEndpointID | IPAddress) -> Probe:
        """The question about one destination, for the judge."""
        has_ports = self.protocol in PORTED
        return Probe(
            id=None,
            source=_party("from", self.source),
            destination=_party("to", destination),
            protocol=self.protocol,
            port=self.port if has_ports else None,
            source_port=EPHEMERAL_PORT if has_ports else None,
            icmp_type=ECHO_REQUEST.get(self.protocol),
            icmp_code=0 if self.protocol in ICMP_FAMILY else None,
            family=ICMP_FAMILY.get(self.protocol),
        )


def parse_question(source: str, destination: str) -> Question:
    """Reads both sides.

    Raises:
        QuestionError: one of them is in none of the forms.
    """
    found = _TO.fullmatch(destination)
    if found is None:
        raise QuestionError(f"cannot read {destination!r}: HOST:PORT or HOST:PORT/PROTOCOL is expected")
    protocol = _protocol(found["protocol"] or "TCP")
    host = found["bracketed"] or found["host"]
    port = None if found["port"] is None else int(found["port"])
    if protocol in PORTED and (port is None or not 0 < port < 65536):
        raise QuestionError(f"cannot do without a port in {destination!r}: HOST:PORT, port 1 to 65535")
    return Question(source=_source(source), destination=_destination(host), protocol=protocol, port=port)


def _protocol(text: str) -> int:
    if text.isdigit() and int(text) < 256:
        return int(text)
    try:
        return PROTOCOLS[text.upper()]
    except KeyError:
        raise QuestionError(f"cannot find the protocol {text!r}: one of {', '.join(PROTOCOLS)}, or a number") from None


def _source(text: str) -> EndpointID | HostEndpointID | IPAddress:
    if _ENDPOINT.fullmatch(text):
        return EndpointID(text)
    try:
        return ip_address(text)
    except ValueError:
        if _HOST_ENDPOINT.fullmatch(text):
            return HostEndpointID(text)
        wanted = "NAMESPACE/POD, an address or the name of a host endpoint"
        raise QuestionError(f"cannot read {text!r}: {wanted} is expected") from None


def _destination(text: str) -> EndpointID | IPAddress | DomainName:
    if _ENDPOINT.fullmatch(text):
        return EndpointID(text)
    try:
        return ip_address(text)
    except ValueError:
        pass
    try:
        return DomainName.parse(text)
    except DomainError as error:
        raise QuestionError(f"cannot read {text!r}: {error}") from None


def _party(path: str, who: EndpointID | HostEndpointID | IPAddress) -> PartyReference:
    if isinstance(who, HostEndpointID):
        return PartyReference(path=path, host_endpoint=who)
    if isinstance(who, str):
        return PartyReference(path=path, endpoint=EndpointID(who))
    return PartyReference(path=path, address=who)
