"""A workload's side of the small network: resolves names and connects, and says what came of it and how fast."""

import socket
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from dnsagent import answers
from tidegate.demo.lab import DNS4
from tidegate.demo.namespace import Namespace

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class ConnectOutcome:
    """What became of a connection attempt."""

    is_connected: bool
    seconds: float
    error: str = ""


def resolve(
    namespace: Namespace, name: str, qtype: str = "A", server: IPAddress = DNS4, timeout_seconds: float = 2.0
) -> tuple[IPAddress, ...]:
    """Asks the server over UDP; the addresses of the answer, in order.

    Raises:
        TimeoutError: no answer came.
    """
    family = socket.AF_INET if server.version == 4 else socket.AF_INET6
    with namespace.entered():
        client = socket.socket(family, socket.SOCK_DGRAM)
    with client:
        client.settimeout(timeout_seconds)
        client.connect((str(server), 53))
        client.send(answers.query(name, qtype))
        return answers.addresses(client.recv(65535))


def connect(namespace: Namespace, address: IPAddress, port: int, timeout_seconds: float = 1.5) -> ConnectOutcome:
    """Opens a TCP connection and closes it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with namespace.entered():
        client = socket.socket(family, socket.SOCK_STREAM)
    with client:
        client.settimeout(timeout_seconds)
        started = time.perf_counter()
        try:
            client.connect((str(address), port))
        except OSError as error:
            return ConnectOutcome(is_connected=False, seconds=time.perf_counter() - started, error=str(error))
        return ConnectOutcome(is_connected=True, seconds=time.perf_counter() - started)
