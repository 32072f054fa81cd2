"""A QUIC client and a server of another's making, on sockets of ours: what passes between them passes the kernel."""

import select
import socket
import time
from pathlib import Path

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted
from aioquic.quic.packet import pull_quic_header

CERTIFICATES = Path(__file__).parents[1] / "dnsagent/certificates"
_ALPN = ["kit"]


def greeting(name: str, version: int = 1, alpn: list[str] | None = None) -> list[bytes]:
    """The first datagrams of a client to that name."""
    client = _client(name, version, alpn or _ALPN)
    client.connect(("192.0.2.1", 443), now=0.0)
    return [data for data, _ in client.datagrams_to_send(now=0.0)]


def shake_hands(on_client: socket.socket, on_server: socket.socket, name: str, seconds: float) -> bool:
    """Whether client and server have greeted each other in time; the client's socket is connected to the server's."""
    client, server = _client(name, 1, _ALPN), None
    end, peer = time.monotonic() + seconds, on_client.getpeername()
    client.connect(peer, now=time.monotonic())
    while time.monotonic() < end:
        for data, _ in client.datagrams_to_send(now=time.monotonic()):
            on_client.send(data)
        for ready in select.select([on_client, on_server], [], [], 0.05)[0]:
            data, source = ready.recvfrom(65_536)
            if ready is on_client:
                client.receive_datagram(data, peer, now=time.monotonic())
                continue
            server = server or _server(data)
            server.receive_datagram(data, source, now=time.monotonic())
            for reply, address in server.datagrams_to_send(now=time.monotonic()):
                on_server.sendto(reply, address)
        if _is_done(client):
            return True
    return False


def _client(name: str, version: int, alpn: list[str]) -> QuicConnection:
    configuration = QuicConfiguration(
        is_client=True, server_name=name, alpn_protocols=alpn, original_version=version, supported_versions=[version]
    )
    configuration.verify_mode = 0  # the certificate is of another name
    return QuicConnection(configuration=configuration)


def _server(first: bytes) -> QuicConnection:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=_ALPN)
    configuration.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    wanted = pull_quic_header(Buffer(data=first), host_cid_length=8).destination_cid
    return QuicConnection(configuration=configuration, original_destination_connection_id=wanted)


def _is_done(peer: QuicConnection) -> bool:
    while (event := peer.next_event()) is not None:
        if isinstance(event, HandshakeCompleted):
            return True
    return False
