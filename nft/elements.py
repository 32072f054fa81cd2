"""Set elements by raw netlink: the writer of learned sets, on the path of every DNS answer.

One `write` is one transaction: all changes or none, in the kernel when the call returns. libnftables needs 75 us for
one element and pyroute2 260 us; this takes about 10, of which the kernel has 7, because message heads are made once
per set and keys come as packed bytes.

    write([Change(ADD, "d4-..", saddr + daddr, 30_000), ...])
      -> BATCH_BEGIN | NEWSETELEM table set [elem, elem, ..] | DELSETELEM .. | BATCH_END  -> one send, one recv

A failed transaction costs 8 ms and holds the namespace's commit mutex meanwhile (the kernel waits out an RCU grace
period), so nothing here is tried blindly: `DELETE` is for elements that the caller knows to be there, `REFRESH` works
whether the element is there or has just expired.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, final

from netlink import message
from netlink.transport import NETLINK_EXT_ACK, SO_SNDBUFFORCE, SOL_NETLINK, NetlinkSocket
from nft import element_wire, wire
from nft.element_wire import ElementMessage
from nft.errors import ElementError, NftError
from nft.generation import read_generation


class Operation(IntEnum):
    """What to do with an element."""

    ADD = 0
    """Adds a new element. On one that is there it may or may not change its timeout, by kernel: use REFRESH."""
    REFRESH = 1
    """Sets the time left to live, whether the element is there or not; lookups meanwhile never miss it."""
    DELETE = 2
    """Deletes an element that is known to be there; if it is not, the whole transaction fails."""


@final
class Change:
    """One element to write. A key may occur once per set in a transaction.

    Made for every learned address: no tuple, which costs three times as much.
    """

    __slots__ = ("key", "operation", "remaining_ms", "set_name", "timeout_ms")

    def __init__(
        self, operation: Operation, set_name: str, key: bytes, timeout_ms: int = 0, remaining_ms: int = 0
    ) -> None:
        self.operation = operation
        self.set_name = set_name
        self.key = key
        """Packed fields in network order, each padded to four bytes (`saddr + daddr` for a pair of addresses)."""
        self.timeout_ms = timeout_ms
        """How long it lives; 0 for ever, or as long as the set says. Only in sets with timeouts. Ignored by DELETE."""
        self.remaining_ms = remaining_ms
        """Time left, if less than `timeout_ms`; 0 for all of it. So a restored element keeps its original timeout."""


class Element(NamedTuple):
    """An element as the kernel has it."""

    key: bytes
    timeout_ms: int
    """0 if it lives for ever, or as long as its set says."""
    remaining_ms: int
    """Time left when it was read; 0 if it lives for ever."""


SEND_BUFFER_BYTES = 4 << 20
"""A transaction is one datagram; this (which the kernel doubles) holds 150,000 pairs. More fails with EMSGSIZE."""

MAX_HEADS: Final = 16_384
"""Message heads kept, by set name. At the bound all are forgotten: making one again costs a microsecond."""

SMALL_SET: Final = 256
"""Elements that come in the first datagram of a dump for certain."""

_OPERATIONS: Final = tuple(Operation)
_DUMP_ATTEMPTS: Final = 5
_ACK: Final = struct.Struct("=IHHIIi")
_NEW: Final = (element_wire.NEW, element_wire.NEW_FLAGS)
_DELETE: Final = (element_wire.DELETE, element_wire.DELETE_FLAGS)


class ElementWriter:
    """Writes and reads elements of the sets of one `inet` table. Owns one netlink socket; not for two threads at once.

    With `readd_refreshes` (`nft.features`: kernels since 6.12) a refresh is one addition with an explicit expiration;
    else it is addition, deletion, addition in one transaction, which every kernel does right and which no packet can
    see half done in a hash set.
    """

    def __init__(self, table: str, *, readd_refreshes: bool = False, link: NetlinkSocket | None = None) -> None:
        """Opens a socket in the current network namespace.

        Raises:
            OSError: the kernel has no netfilter netlink.
        """
        self.table = table
        self._readd_refreshes = readd_refreshes
        self._link = link or NetlinkSocket()
        self._socket = self._link.raw
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        _force_send_buffer(self._socket)
        self._reply = bytearray(1 << 14)
        self._table_attribute = message.text(wire.NFTA_ELEM_LIST_TABLE, table)
        self._steps = {
            Operation.ADD: (_NEW,),
            Operation.REFRESH: (_NEW,) if readd_refreshes else (_NEW, _DELETE, _NEW),
            Operation.DELETE: (_DELETE,),
        }
        self._heads: dict[str, bytes] = {}
        self._sequence = 1

    @property
    def port_id(self) -> int:
        """The netlink port whose changes are ours: `nft.monitor` leaves its events out."""
        port: int = self._socket.getsockname()[0]
        return port

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the socket; safe to call twice."""
        self._link.close()

    def generation(self) -> int:
        """The number of the ruleset's generation.

        Raises:
            OSError: the kernel refused.
        """
        return read_generation(self._link)

    def write(self, changes: Sequence[Change]) -> None:
        """Makes all changes in one transaction; they are in force when it returns. About 9 us, and 1 us per change.

        Raises:
            ElementError: nothing was applied; `failures` names the positions to blame where the kernel said so.
            NftError: the transaction could not be sent (EMSGSIZE: too many changes for one).
        """
        if not changes:
            return
        messages = self._messages(changes)
        first = self._sequence
        last = first + len(messages)
        self._sequence = (last + 2) & 0x3FFFFFFF
        try:
            self._socket.send(element_wire.transaction(messages, first))
            size = self._socket.recv_into(self._reply)
        except OSError as error:
            self._link.drain()
            raise NftError(error.errno or 0, "write elements of", f"table {self.table}") from error
        _, kind, _, sequence, _, code = _ACK.unpack_from(self._reply)
        if code or sequence != last or kind != message.NLMSG_ERROR:
            raise self._refusal(messages, first, bytes(self._reply[:size]))

    def read(self, set_name: str) -> list[Element]:
        """All elements of a set with the time left to them.

        Where other transactions disturb the dump it is taken again; what any attempt saw is in the result. A large set
        is read until nothing new comes: the kernel walks its hash table anew for each datagram, and misses elements
        while the table is being resized, without a word.

        Raises:
            NftError: there is no such set (ENOENT), or the kernel refused.
        """
        seen: dict[bytes, Element] = {}
        for _ in range(_DUMP_ATTEMPTS):
            disturbed, before = False, len(seen)
            try:
                for reply in self._dump(set_name):
                    disturbed |= bool(reply.flags & wire.NLM_F_DUMP_INTR)
                    seen.update((found[0], Element(*found)) for found in element_wire.elements(reply.body))
            except OSError as error:
                self._link.drain()
                raise NftError(error.errno or 0, "read", f"set {set_name} of table {self.table}") from error
            if not disturbed and (len(seen) <= SMALL_SET or len(seen) == before):
                break
        return list(seen.values())

    def _dump(self, set_name: str) -> Iterable[message.Message]:
        sequence = self._sequence
        self._sequence += 1
        body = self._table_attribute + message.text(wire.NFTA_ELEM_LIST_SET, set_name)
        return self._link.dump(wire.request(wire.GETSETELEM, message.NLM_F_DUMP, sequence, body), sequence)

    def _messages(self, changes: Sequence[Change]) -> list[ElementMessage]:
        """One message per operation and set, additions first; a refresh may take three."""
        out: list[ElementMessage] = []
        for operation in _OPERATIONS:
            runs: dict[str, tuple[list[bytes], list[int]]] = {}
            for position, change in enumerate(changes):
                if change.operation is not operation:
                    continue
                run = runs.get(change.set_name)
                if run is None:
                    run = runs[change.set_name] = ([], [])
                run[0].append(self._encoded(change))
                run[1].append(position)
            for set_name, (elements, positions) in runs.items():
                out += self._of_one_set(operation, set_name, elements, positions)
        return out

    def _of_one_set(
        self, operation: Operation, set_name: str, elements: list[bytes], positions: list[int]
    ) -> list[ElementMessage]:
        head = self._head(set_name)
        return [
            ElementMessage(kind, flags, head, elements[start:stop], positions[start:stop])
            for start, stop in element_wire.chunks(elements)
            for kind, flags in self._steps[operation]
        ]

    def _encoded(self, change: Change) -> bytes:
        timeout_ms, remaining_ms = change.timeout_ms, change.remaining_ms
        if change.operation is Operation.DELETE:
            timeout_ms = 0
        elif change.operation is Operation.REFRESH and self._readd_refreshes and not remaining_ms:
            remaining_ms = timeout_ms
        return element_wire.element(change.key, timeout_ms, remaining_ms)

    def _head(self, set_name: str) -> bytes:
        head = self._heads.get(set_name)
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = message.nfgen(wire.NFPROTO_INET) + self._table_attribute
            head += message.text(wire.NFTA_ELEM_LIST_SET, set_name)
            self._heads[set_name] = head
        return head

    def _refusal(self, messages: Sequence[ElementMessage], first: int, reply: bytes) -> ElementError:
        """Reads the other replies (all of them wait: the kernel answers before `send` returns) and lays the blame."""
        replies = [reply]
        while True:
            try:
                replies.append(self._socket.recv(len(self._reply), socket.MSG_DONTWAIT))
            except OSError:
                break  # nothing waits any more, or the buffer overflowed: then these are the first refusals
        failures: dict[int, int] = {}
        errno = 0
        for answer in (each for data in replies for each in message.messages(data)):
            if answer.type != message.NLMSG_ERROR or not answer.errno:
                continue
            errno = errno or answer.errno
            index = answer.sequence - first - 1
            if 0 <= index < len(messages):
                failures.update(element_wire.blame(messages[index], answer))
        # The caller's order counts, not that of the messages.
        return ElementError(failures[min(failures)] if failures else errno, f"table {self.table}", failures)


def _force_send_buffer(raw: socket.socket) -> None:
    """Room for large transactions; without the privilege the system's limit stays, and EMSGSIZE comes earlier."""
    try:
        raw.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
    except PermissionError:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
