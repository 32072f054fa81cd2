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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from sys import byteorder
from types import TracebackType
from typing import Self, final

from netlink import message
from netlink.message import NetlinkDecodeError
from netlink.transport import RECEIVE_BYTES, NetlinkSocket
from nfq.errors import ConntrackError
from nfq.packet import FiveTuple

Address = IPv4Address | IPv6Address

_SUBSYSTEM = message.NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = 1, 2
_AF = {4: 2, 6: 10}

_ORIGINAL, _REPLY, _MARK, _ID, _ZONE, _FILTER = 1, 2, 8, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE4, _DESTINATION4, _SOURCE6, _DESTINATION6 = 1, 2, 3, 4
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL_FLAGS = 1
_FILTER_SOURCE, _FILTER_DESTINATION = 1, 2
"""Which parts of the tuple the kernel compares (kernel: nf_internals.h, CTA_FILTER_F_CTA_IP_SRC and _DST)."""

_BATCH = 100
"""Deletions in one send. Each is answered, and the answers wait in our receive buffer until all are sent."""
_PASSES = 3
"""A table that changes while it is listed may hide entries; the list is read until nothing is left, or so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One conntrack entry."""

    original: FiveTuple
    """As the first packet had it, before any translation."""
    reply: FiveTuple
    """As answers come: its source is where the packets really go, its destination where they come from."""
    mark: int = 0
    zone: int = 0
    id: bytes = field(repr=False)
    """The kernel's own, made from the entry's place in memory; a successor often has another one, not always."""
    key: bytes = field(repr=False)
    """The original tuple as the kernel wrote it."""


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


def list_request(source: Address | None, destination: Address | None) -> bytes:
    """The attributes that make the kernel list only what has these addresses; none where it cannot.

    It cannot for IPv6: the kernel compares these addresses the wrong way round and lists exactly the others (seen on
    6.18; nf_conntrack_netlink.c, ctnetlink_filter_match_tuple). When no supported kernel does so, this can go.
    """
    parts, flags = [], 0
    for address, kind, flag in (
        (source, _SOURCE4, _FILTER_SOURCE),
        (destination, _DESTINATION4, _FILTER_DESTINATION),
    ):
        if address is not None and address.version == 4:
            parts.append(message.attribute(kind, address.packed))
            flags |= flag
    if not parts:
        return b""
    # The flags are in the machine's own order, unlike everything else here.
    compared = message.attribute(_FILTER_ORIGINAL_FLAGS, flags.to_bytes(4, byteorder))
    return message.nested(_ORIGINAL, message.nested(_TUPLE_IP, *parts)) + message.nested(_FILTER, compared)


def delete_request(connection: Connection, sequence: int) -> bytes:
    """The message that deletes exactly this entry. Without a tuple it would delete all of them."""
    body = (
        message.attribute(_ORIGINAL | message.NLA_F_NESTED, connection.key),
        message.attribute(_ID, connection.id),
        message.be16(_ZONE, connection.zone),
    )
    flags = message.NLM_F_REQUEST | message.NLM_F_ACK
    family = _AF[connection.original.version]
    return message.nf_message(_SUBSYSTEM, _DELETE, flags, sequence, family, b"".join(body))


def read_connection(entry: message.Message) -> Connection | None:
    """The connection of one listed message; `None` for what cannot be named by addresses and a protocol."""
    try:
        found = dict(message.attributes(entry.body))
        original, reply = _read_tuple(found[_ORIGINAL]), _read_tuple(found[_REPLY])
    except (KeyError, NetlinkDecodeError):
        return None
    return Connection(
        original=original,
        reply=reply,
        mark=int.from_bytes(found.get(_MARK, b""), "big"),
        zone=int.from_bytes(found.get(_ZONE, b""), "big"),
        id=bytes(found.get(_ID, b"")),
        key=bytes(found[_ORIGINAL]),
    )


def _has_all(payload: memoryview, parts: Sequence[bytes]) -> bool:
    data = bytes(payload)
    return all(part in data for part in parts)


def _read_tuple(data: memoryview) -> FiveTuple:
    parts = dict(message.attributes(data))
    addresses = dict(message.attributes(parts[_TUPLE_IP]))
    protocol = dict(message.attributes(parts[_TUPLE_PROTOCOL]))
    is_ipv4 = _SOURCE4 in addresses
    return FiveTuple(
        4 if is_ipv4 else 6,
        int.from_bytes(protocol[_PROTOCOL], "big"),
        bytes(addresses[_SOURCE4 if is_ipv4 else _SOURCE6]),
        bytes(addresses[_DESTINATION4 if is_ipv4 else _DESTINATION6]),
        _port(protocol, _SOURCE_PORT),
        _port(protocol, _DESTINATION_PORT),
    )


def _port(protocol: Mapping[int, memoryview], kind: int) -> int | None:
    return int.from_bytes(protocol[kind], "big") if kind in protocol else None


def _family(source: Address | None, destination: Address | None) -> int:
    versions = {address.version for address in (source, destination) if address is not None}
    if len(versions) > 1:
        raise ValueError(f"cannot find connections from {source} to {destination}: they are of different families")
    return _AF[versions.pop()] if versions else 0
