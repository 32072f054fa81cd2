"""IP packets by hand, for the fake queues."""

import struct
from ipaddress import ip_address

from tests.dnsagent.stage import CLIENT, PORT, SERVER, packed


def ip(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    if ip_address(source).version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + packed(source) + packed(destination) + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
    return head + packed(source) + packed(destination) + body


def udp(source: str, source_port: int, destination: str, destination_port: int, payload: bytes) -> bytes:
    body = struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    return ip(source, destination, 17, body)


def tcp(
    source: str, source_port: int, destination: str, destination_port: int, payload: bytes,
    sequence: int = 1, flags: int = 0x18,
) -> bytes:  # fmt: skip
    """A segment; by default with data to be read (PSH and ACK)."""
    head = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, 1, 0x50, flags, 1000, 0, 0)
    return ip(source, destination, 6, head + payload)


def syn(destination: str, source: str = CLIENT, port: int = 50_000, destination_port: int = 443) -> bytes:
    return tcp(source, port, destination, destination_port, b"", flags=2)


def dns_query(payload: bytes, client: str = CLIENT, port: int = PORT, server: str = SERVER) -> bytes:
    return udp(client, port, server, 53, payload)


def dns_answer(payload: bytes, client: str = CLIENT, port: int = PORT, server: str = SERVER) -> bytes:
    return udp(server, 53, client, port, payload)
