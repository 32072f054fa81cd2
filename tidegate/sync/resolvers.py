"""Trusted DNS servers as addresses: what the configuration names, looked up.

Pure but for reading one file. What Services stand for is told by documents (`service_servers`); one that none tells of
is reported instead of being left out in silence: answers of an unknown server teach nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from dnsagent.snapshot import TrustedServer
from tidegate.config.servers import ServiceReference, SystemResolvers, TrustedServerName
from tidegate.sync.service_servers import Known

RESOLV_CONF = Path("/etc/resolv.conf")
_MAX_NAMESERVERS = 3
"""What the C library reads (resolv.conf(5), MAXNS)."""


@dataclass(frozen=True, slots=True)
class TrustedServers:
    """The addresses, and the entries that could not be looked up with the reason."""

    servers: tuple[TrustedServer, ...]
    unresolved: tuple[tuple[str, str], ...] = ()


def look_up(names: Iterable[TrustedServerName], services: Known, resolv_conf: Path = RESOLV_CONF) -> TrustedServers:
    """Every server that the entries stand for, each once, in the order of the entries."""
    servers: dict[TrustedServer, None] = {}
    unresolved: list[tuple[str, str]] = []
    for name in names:
        if isinstance(name, TrustedServer):
            servers[name] = None
        elif isinstance(name, ServiceReference):
            servers.update(dict.fromkeys(services.get(str(name), ())))
            if not services.get(str(name)):
                unresolved.append((str(name), "no document tells the addresses of this Service"))
        else:
            found = _system(name, resolv_conf, unresolved)
            servers.update(dict.fromkeys(found))
    return TrustedServers(tuple(servers), tuple(unresolved))


def _system(name: SystemResolvers, resolv_conf: Path, unresolved: list[tuple[str, str]]) -> list[TrustedServer]:
    try:
        text = resolv_conf.read_text(errors="replace")
    except OSError as error:
        unresolved.append((str(name), f"cannot read {resolv_conf}: {error.strerror}"))
        return []
    found = nameservers(text)
    if not found:
        unresolved.append((str(name), f"{resolv_conf} names no server"))
    return found


def nameservers(text: str) -> list[TrustedServer]:
    """The `nameserver` lines of a resolv.conf, as the C library takes them; a zone index (`%eth0`) is cut off."""
    found: list[TrustedServer] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(TrustedServer(address=ip_address(words[1].split("%")[0])))
            except ValueError:
                continue
    return found[:_MAX_NAMESERVERS]
