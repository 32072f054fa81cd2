"""Finds and cuts established connections.

Rules accept established traffic first, so a connection outlives the policy that allowed it, and an address that goes
to another workload inherits the connections of the one before. Deleting the conntrack entry ends both: the next packet
is judged as a new one.

    with Conntrack() as conntrack:
        conntrack.cut(source=IPv4Address("10.65.0.7"))                     # the endpoint is gone
        conntrack.cut(source=pod, unless=lambda c: is_allowed(c.reply))    # policy was taken back

Delete only what policy no longer allows: a connection that is still allowed is picked up again only if the client
speaks first. The kernel filters by IPv4 address (from 5.8 on) and family, and the list is filtered here as well.
Source: linux/netfilter/nfnetlink_conntrack.h; kernel: nf_conntrack_netlink.c.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Self, final

from netlink import message
from netlink.transport import RECEIVE_BYTES, NetlinkSocket
from nfq.connection import (
    FAMILY_NUMBER,
    Address,
    Connection,
    Listed,
    delete_request,
    list_request,
    peek,
    read_connection,
    read_listed,
)
from nfq.errors import ConntrackError

_SUBSYSTEM, _GET = message.NFNL_SUBSYS_CTNETLINK, 1
_BATCH = 100
"""Deletions in one send. Each is answered, and the answers wait in our receive buffer until all are sent."""
_PASSES = 3
"""A table that changes while it is listed may hide entries; the list is read until nothing is left, or so often."""


@final
class Conntrack:
    """The connection table of the network namespace it was opened in. Blocks for as long as the kernel works."""

    def __init__(self) -> None:
        """Opens the socket.

        Raises:
            ConntrackError: no netlink for connections in this kernel, or not allowed.
        """
        try:
            self._netlink = NetlinkSocket(receive_buffer_bytes=1 << 20)
        except OSError as error:
            raise ConntrackError("open the connection table", error.errno or 0) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket. Safe to call twice."""
        self._netlink.close()

    def connections(self, *, source: Address | None = None, destination: Address | None = None) -> list[Connection]:
        """The connections with this original source and destination; without either, all of the namespace.

        Raises:
            ConntrackError: the kernel refused.
            ValueError: two addresses of different families.
        """
        request, family = list_request(source, destination), _family(source, destination)
        sequence = self._netlink.next_sequence()
        flags = message.NLM_F_REQUEST | message.NLM_F_DUMP
        data = message.nf_message(_SUBSYSTEM, _GET, flags, sequence, family, request)
        # Most of a list that the kernel did not filter is thrown away: looking for the bytes first costs a tenth.
        parts = [address.packed for address in (source, destination) if address is not None]
        try:
            replies = self._netlink.dump(data, sequence)
            found = [read_connection(reply) for reply in replies if _has_all(reply.payload, parts)]
        except OSError as error:
            raise ConntrackError("list connections", error.errno or 0) from error
        return [
            one
            for one in found
            if one is not None
            and (source is None or one.original.source == source.packed)
            and (destination is None or one.original.destination == destination.packed)
        ]

    def scan(self, wanted: Callable[[bytes, bytes, bytes], bool]) -> Iterator[Listed]:
        """The connections that `wanted` says yes to, as they are read: for long lists of which few are wanted.

        It is given original source, original destination and source of replies, packed. Read it to the end, and do
        not use this object otherwise before: the kernel goes on with its list when the last part was taken.

        Raises:
            ConntrackError: the kernel refused.
        """
        sequence = self._netlink.next_sequence()
        data = message.nf_message(_SUBSYSTEM, _GET, message.NLM_F_REQUEST | message.NLM_F_DUMP, sequence, 0, b"")
        try:
            for reply in self._netlink.dump(data, sequence):
                addresses = peek(reply.body)
                if addresses is not None and not wanted(*addresses):
                    continue
                found = read_listed(reply)
                if found is not None and (addresses is not None or wanted(*_addresses(found))):
                    yield found
        except OSError as error:
            raise ConntrackError("list connections", error.errno or 0) from error

    def delete(self, connections: Iterable[Connection]) -> int:
        """Deletes entries; how many there still were. That one is gone already is no error.

        Raises:
            ConntrackError: the kernel refused.
        """
        rest = iter(connections)
        deleted = 0
        while batch := list(islice(rest, _BATCH)):
            deleted += self._delete_batch(batch)
        return deleted

    def cut(
        self,
        *,
        source: Address | None = None,
        destination: Address | None = None,
        unless: Callable[[Connection], bool] | None = None,
    ) -> int:
        """Deletes the connections with this original source and destination, but for those that `unless` spares.

        How many were deleted. Without an address it looks at all connections of the namespace.

        Raises:
            ConntrackError: the kernel refused.
            ValueError: two addresses of different families.
        """
        total = 0
        for _ in range(_PASSES):
            found = self.connections(source=source, destination=destination)
            deleted = self.delete(one for one in found if unless is None or not unless(one))
            total += deleted
            if not deleted:
                break
        return total

    def _delete_batch(self, batch: Sequence[Connection]) -> int:
        first = self._netlink.next_sequence()
        sequences = [first] + [self._netlink.next_sequence() for _ in batch[1:]]
        data = b"".join(delete_request(one, sequence) for one, sequence in zip(batch, sequences, strict=True))
        try:
            self._netlink.raw.send(data)
            return self._gather(set(sequences))
        except OSError as error:
            raise ConntrackError("delete connections", error.errno or 0) from error

    def _gather(self, awaited: set[int]) -> int:
        """Reads all answers, and raises the first refusal only then: answers left behind would confuse the next."""
        deleted, refused = 0, 0
        while awaited:
            for reply in message.messages(self._netlink.raw.recv(RECEIVE_BYTES)):
                if reply.type != message.NLMSG_ERROR or reply.sequence not in awaited:
                    continue
                awaited.discard(reply.sequence)
                deleted += reply.errno == 0
                if reply.errno not in (0, errno.ENOENT):
                    refused = refused or reply.errno
        if refused:
            raise OSError(refused, "refused")
        return deleted


def _has_all(payload: memoryview, parts: Sequence[bytes]) -> bool:
    data = bytes(payload)
    return all(part in data for part in parts)


def _addresses(found: Listed) -> tuple[bytes, bytes, bytes]:
    return found.original.source, found.original.destination, found.reply.source


def _family(source: Address | None, destination: Address | None) -> int:
    versions = {address.version for address in (source, destination) if address is not None}
    if len(versions) > 1:
        raise ValueError(f"cannot find connections from {source} to {destination}: they are of different families")
    return FAMILY_NUMBER[versions.pop()] if versions else 0
