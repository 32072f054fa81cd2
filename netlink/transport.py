"""The netlink socket: sends requests, gathers acknowledgements, reads dumps.

Blocking by design: the kernel answers a netfilter request before `send` returns, so waiting for the acknowledgement
costs one `recv`, no scheduling. Events and packets arrive on sockets of their own.
"""

import errno
import os
import socket
from collections.abc import Iterator

from netlink import message

NETLINK_NETFILTER = 12
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_DROP_MEMBERSHIP = 2
NETLINK_NO_ENOBUFS = 5
NETLINK_EXT_ACK = 11
NETLINK_CAP_ACK = 10
SO_RCVBUFFORCE = 33
SO_SNDBUFFORCE = 32

RECEIVE_BYTES = 1 << 17
"""Larger than any datagram the kernel builds for us: dumps grow to 32 KiB, a queued packet to 64 KiB."""


class NetlinkSocket:
    """One bound netlink socket; owns its file descriptor and its sequence numbers."""

    def __init__(
        self,
        protocol: int = NETLINK_NETFILTER,
        *,
        receive_buffer_bytes: int | None = None,
        adopted: int | None = None,
    ) -> None:
        """Opens and binds; or takes over the descriptor that an earlier program of this process has bound and left.

        Raises:
            OSError: the kernel has no such protocol, or the process may not open it.
        """
        self._sequence = 0
        if adopted is not None:
            self._socket = socket.socket(fileno=adopted)
            self._socket.set_inheritable(False)
            return
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
            if receive_buffer_bytes is not None:
                self._force_buffer(SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer_bytes)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._socket.fileno()

    @property
    def raw(self) -> socket.socket:
        """The socket itself, for the packet path that cannot afford a method call per datagram."""
        return self._socket

    def join(self, group: int) -> None:
        """Subscribes to a multicast group of events."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        """Ends a subscription; nothing happens where there is none."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group)

    def next_sequence(self) -> int:
        """A fresh sequence number, never 0 (the kernel uses 0 for events)."""
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        return self._sequence

    def request(self, data: bytes, sequence: int) -> None:
        """Sends one message that carries NLM_F_ACK and waits for its acknowledgement.

        Raises:
            OSError: with the kernel's errno.
        """
        self._socket.send(data)
        while True:
            for reply in message.messages(self._socket.recv(RECEIVE_BYTES)):
                if reply.sequence == sequence and reply.type == message.NLMSG_ERROR:
                    if reply.errno:
                        raise OSError(reply.errno, os.strerror(reply.errno))
                    return

    def dump(self, data: bytes, sequence: int) -> Iterator[message.Message]:
        """Sends a dump request and yields its answers until the kernel says it is done.

        Raises:
            OSError: with the kernel's errno; EINTR where the dump was inconsistent is not checked here.
        """
        self._socket.send(data)
        while True:
            for reply in message.messages(self._socket.recv(RECEIVE_BYTES)):
                if reply.sequence != sequence:
                    continue
                if reply.type == message.NLMSG_DONE:
                    return
                if reply.type == message.NLMSG_ERROR:
                    if reply.errno:
                        raise OSError(reply.errno, os.strerror(reply.errno))
                    return
                yield reply

    def drain(self) -> int:
        """Reads and drops what waits on the socket; the number of datagrams dropped."""
        dropped = 0
        while True:
            try:
                self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return dropped
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
            dropped += 1

    def close(self) -> None:
        """Closes the socket; safe to call twice."""
        self._socket.close()

    def _force_buffer(self, force: int, plain: int, size_bytes: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, force, size_bytes)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, plain, size_bytes)
