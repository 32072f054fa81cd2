"""Sockets that speak with other hosts' addresses: the door to `IP_TRANSPARENT`. Needs CAP_NET_ADMIN.

Linux: ip(7), ipv6(7), Documentation/networking/tproxy.rst. The socket module names none of these options.
"""

import errno
import itertools
import socket
import struct
from collections.abc import Iterator

_IP_TRANSPARENT = 19
_IPV6_TRANSPARENT = 75
_SO_MARK = 36
_SO_ORIGINAL_DST = 80
_SO_RCVBUFFORCE = 33
_IP_RECVORIGDSTADDR = 20
_IPV6_RECVORIGDSTADDR = 74
_DATAGRAM_BUFFER_BYTES = 4 << 20
_BACKLOG = 256
_FIRST_PORT, _LAST_PORT = 10_240, 32_767
"""Below the ports that clients take by themselves (ip_local_port_range): a client's own connection to the same server
from the same port would be the same connection to conntrack."""
_PORT_TRIES = 64
_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def speaking_ports() -> Iterator[int]:
    """The ports to speak from, one after the other, for ever: each rests for as long as possible."""
    return itertools.cycle(range(_FIRST_PORT, _LAST_PORT + 1))


def listener(family: socket.AddressFamily, port: int) -> socket.socket | None:
    """Takes connections that `tproxy` hands to this port of the loopback address; None without such a family.

    Raises:
        OSError: the port is taken, or we may not.
    """
    try:
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        _make_transparent(made)
        # A new process may listen before the old one has gone.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((_LOOPBACK[family], port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
            return None  # switched off by sysctl
        raise
    return made


def datagram_listener(family: socket.AddressFamily, port: int) -> socket.socket | None:
    """The same for datagrams; each comes with where it was sent to, see `destination_of`.

    Raises:
        OSError: as `listener`.
    """
    try:
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        _make_transparent(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _DATAGRAM_BUFFER_BYTES)
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR, 1)
        made.bind((_LOOPBACK[family], port))
    except OSError as error:
        made.close()
        if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return made


def destination_of(ancillary: list[tuple[int, int, bytes]]) -> tuple[bytes, int] | None:
    """Where a datagram was sent to: packed address and port."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_RECVORIGDSTADDR:
            return data[4:8], data[2] << 8 | data[3]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_RECVORIGDSTADDR:
            return data[8:24], data[2] << 8 | data[3]
    return None


def speaker(address: bytes, port: int, mark: int) -> socket.socket:
    """Sends datagrams from that address and port, whoever has them; they carry the mark.

    Raises:
        OSError: somebody on this host has them himself.
    """
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _make_transparent(made)
        made.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((socket.inet_ntop(family, address), port))
    except OSError:
        made.close()
        raise
    return made


def original_destination(connection: socket.socket) -> tuple[str, int]:
    """Where the client wanted to go, before any destination NAT; without conntrack's word, where the packet went.

    Raises:
        OSError: the connection has ended.
    """
    is_four = connection.family == socket.AF_INET
    try:
        raw = connection.getsockopt(
            socket.IPPROTO_IP if is_four else socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 16 if is_four else 28
        )
    except OSError:
        name = connection.getsockname()
        return str(name[0]), int(name[1])
    (port,) = struct.unpack_from("!H", raw, 2)
    address = raw[4:8] if is_four else raw[8:24]
    return socket.inet_ntop(connection.family, address), port


def connect_as(source: str, target: tuple[str, int], mark: int, ports: Iterator[int], own_mark: int) -> socket.socket:
    """Begins to connect from that address and the next free port; its packets carry the mark.

    A target on this host sees the host's own address, and `own_mark`: it would answer to the other past us.

    Raises:
        OSError: it cannot be tried.
    """
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_local(target[0]):
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, own_mark)
        else:
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
            _make_transparent(made)
            _bind(made, source, ports)
        _begin(made, target)
    except OSError:
        made.close()
        raise
    return made


def _begin(made: socket.socket, target: tuple[str, int]) -> None:
    status = made.connect_ex(target)
    if status not in (0, errno.EINPROGRESS):
        raise OSError(status, "cannot connect")


def is_local(address: str) -> bool:
    """Whether the address is one of this host's: only such ones can be bound without being transparent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _bind(made: socket.socket, source: str, ports: Iterator[int]) -> None:
    for _ in range(_PORT_TRIES):
        try:
            made.bind((source, next(ports)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, "cannot find a free port")


def _make_transparent(made: socket.socket) -> None:
    if made.family == socket.AF_INET:
        made.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
