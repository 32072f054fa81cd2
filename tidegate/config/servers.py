"""Which DNS servers are trusted, as the configuration names them (Calico: DNSTrustedServers).

An address is itself; `system` stands for the resolvers that this machine uses; `k8s-service:[namespace/]name[:port]`
stands for the addresses of a Service and of its endpoints, as documents tell them.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from dnsagent.snapshot import TrustedServer
from tidegate.config.kinds import Kind

DNS_PORT = 53
_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_SERVICE = re.compile(rf"k8s-service:(?:(?P<namespace>{_NAME})/)?(?P<name>{_NAME})(?::(?P<port>\d+))?")


@dataclass(frozen=True, slots=True)
class SystemResolvers:
    """The resolvers in `/etc/resolv.conf`."""

    def __str__(self) -> str:
        return "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReference:
    """A Kubernetes Service in front of the servers."""

    name: str
    namespace: str = "kube-system"
    port: int = DNS_PORT

    def __str__(self) -> str:
        return f"k8s-service:{self.namespace}/{self.name}:{self.port}"


TrustedServerName = TrustedServer | SystemResolvers | ServiceReference


def parse_server(raw: object) -> TrustedServerName:
    """Reads one entry of `dnsTrustedServers`.

    Raises:
        ValueError: it is in none of the forms.
    """
    text = str(raw).strip()
    if text.lower() == "system":
        return SystemResolvers()
    if text.startswith("k8s-service:"):
        return _service(text)
    return _address(text)


def show_server(server: TrustedServerName) -> str:
    """The entry as one would write it."""
    if not isinstance(server, TrustedServer):
        return str(server)
    host = f"[{server.address}]" if server.address.version == 6 else str(server.address)
    return f"{host}:{server.port}"


def server() -> Kind[TrustedServerName]:
    """The kind of a trusted server."""
    return Kind(
        "address, address:port, [IPv6]:port, `system`, or `k8s-service:namespace/name`", parse_server, show_server
    )


def _service(text: str) -> ServiceReference:
    found = _SERVICE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not k8s-service:[namespace/]name[:port]")
    namespace = found["namespace"] or "kube-system"
    return ServiceReference(name=found["name"], namespace=namespace, port=_port(found["port"]))


def _address(text: str) -> TrustedServer:
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", text)
    if bracketed is not None:
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, port = text.split(":")
    else:
        host, port = text, None
    try:
        return TrustedServer(address=ip_address(host), port=_port(port))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a DNS server: {error}") from None


def _port(text: str | None) -> int:
    if text is None:
        return DNS_PORT
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a port")
    return int(text)
