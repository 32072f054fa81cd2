"""The kernel's word of every connection that begins or ends: a socket of conntrack's multicast groups.

Nobody waits for the reader: what finds its buffer full is lost. The kernel says that, not how many, so an overrun is
counted and the caller looks at the table (`open_flows`) for what is open.
"""

import errno
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self, final

from netlink import message
from netlink.message import NetlinkDecodeError
from netlink.transport import RECEIVE_BYTES, NetlinkSocket
from nfq.errors import ConntrackError
from nfq.flow_events import FlowEvent, FlowReader

_NEW_GROUP, _DESTROY_GROUP = 1, 3
"""NFNLGRP_CONNTRACK_NEW and NFNLGRP_CONNTRACK_DESTROY."""
BUFFER_BYTES: Final = 64 << 20
"""An event takes 768 bytes of it: two seconds of 40,000 events in which nobody reads."""
_GET: Final = 1


@final
class FlowFeed:
    """Subscribed from its making on. Belongs to one thread."""

    def __init__(self) -> None:
        """Subscribes.

        Raises:
            ConntrackError: no conntrack events in this kernel, or not for us.
        """
        self.overruns = 0
        """Times that events were lost."""
        self._reader = FlowReader()
        try:
            self._netlink = NetlinkSocket(receive_buffer_bytes=BUFFER_BYTES)
        except OSError as error:
            raise ConntrackError("open conntrack's events", error.errno or 0) from error
        try:
            self._netlink.join(_NEW_GROUP)
            self._netlink.join(_DESTROY_GROUP)
        except OSError as error:
            self._netlink.close()
            raise ConntrackError("subscribe to conntrack's events", error.errno or 0) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when events wait."""
        return self._netlink.fileno()

    def events(self, limit: int) -> Iterator[FlowEvent]:
        """What waits, of at most so many datagrams; does not block.

        Raises:
            ConntrackError: the socket is dead.
        """
        receive = self._netlink.raw.recv
        for _ in range(limit):
            try:
                yield from self._reader.read(receive(RECEIVE_BYTES, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return
            except NetlinkDecodeError:
                self.overruns += 1
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise ConntrackError("read conntrack's events", error.errno or 0) from error
                self.overruns += 1

    def close(self) -> None:
        """Ends it. Safe to call twice."""
        self._netlink.close()


def open_flows() -> Iterator[FlowEvent]:
    """Every connection of the table, with what it carried so far. Read it to the end.

    Raises:
        ConntrackError: the kernel refused.
    """
    try:
        link = NetlinkSocket(receive_buffer_bytes=1 << 20)
        try:
            sequence = link.next_sequence()
            flags = message.NLM_F_REQUEST | message.NLM_F_DUMP
            request = message.nf_message(message.NFNL_SUBSYS_CTNETLINK, _GET, flags, sequence, 0, b"")
            link.raw.send(request)
            yield from _listed(link, sequence)
        finally:
            link.close()
    except OSError as error:
        raise ConntrackError("list connections", error.errno or 0) from error


def _listed(link: NetlinkSocket, sequence: int) -> Iterator[FlowEvent]:
    reader = FlowReader()
    while True:
        data = link.raw.recv(RECEIVE_BYTES)
        for reply in message.messages(data):
            if reply.sequence == sequence and reply.type in (message.NLMSG_DONE, message.NLMSG_ERROR):
                if reply.type == message.NLMSG_ERROR and reply.errno:
                    raise OSError(reply.errno, "refused")
                return
        yield from reader.read(data)
