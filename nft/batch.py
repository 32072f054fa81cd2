"""One raw transaction at a time: messages in, commit or error out.

For the few things that libnftables cannot say (`nft.compat`) or says badly. The element writer has its own, faster way.
"""

import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

from netlink import message
from netlink.transport import NetlinkSocket
from nft import wire
from nft.errors import NftError


class Command(NamedTuple):
    """A message of a transaction."""

    kind: int
    """`wire.NEWRULE` and its like."""
    flags: int
    """`message.NLM_F_CREATE | NLM_F_APPEND` for an addition, 0 for a deletion."""
    payload: bytes
    """Attributes."""


def commit(link: NetlinkSocket, commands: Sequence[Command], operation: str, subject: str) -> None:
    """Sends the commands as one transaction and waits until it is in force.

    Raises:
        NftError: the kernel refused, nothing was applied. `operation` and `subject` say in it what was tried.
    """
    first = link.next_sequence()
    last = first
    parts = []
    for index, (kind, flags, payload) in enumerate(commands, start=1):
        last = link.next_sequence()
        ack = message.NLM_F_ACK if index == len(commands) else 0
        parts.append(wire.request(kind, flags | ack, last, payload))
    link.raw.send(message.batch(message.NFNL_SUBSYS_NFTABLES, first, b"".join(parts)))
    errno = _first_error(link.raw, last)
    if errno:
        link.drain()
        raise NftError(errno, operation, subject, os.strerror(errno))


def _first_error(raw: socket.socket, last: int) -> int:
    """The first errno among the replies, 0 if the last command is acknowledged. The kernel has answered already."""
    while True:
        for reply in message.messages(raw.recv(1 << 16)):
            if reply.type == message.NLMSG_ERROR and (reply.errno or reply.sequence == last):
                return reply.errno
