"""Who changed our table: the kernel's announcements of commits.

Each commit in the network namespace is announced to NFNLGRP_NFTABLES: first what it changed, then a message of its new
generation with the task that made it. Nothing is polled, and a change by another program is known within a
millisecond:

    nft delete rule inet tidegate ...   ->  DELRULE table=tidegate, NEWGEN task=4711 "nft"   ->  Commit(4711, "nft", ..)

A listener makes every commit dearer (0.7 us an element, measured), and the packet process commits for every DNS answer.
So its sockets are named to `ignore_ports`, and a filter in the kernel drops their announcements; and where it commits
very often, `pause` ends the listening, and `nft.generation` tells whether anybody else commits.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from netlink import message
from netlink.transport import RECEIVE_BYTES, NetlinkSocket
from nft import wire

RECEIVE_BUFFER_BYTES = 16 << 20
"""Announcements that wait: those of some 50,000 changed rules. What does not fit is told by `is_complete`."""

MAX_PORTS = 32
"""Ports to ignore: each is an instruction of the filter. More than a packet process has by far."""

_SO_ATTACH_FILTER = 26
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_PORT_AT = 12
"""Offset of the sender's port in a netlink header."""
_INSTRUCTION = struct.Struct("=HBBI")
_ELEMENTS = (wire.NEWSETELEM, wire.DELSETELEM)
_RULES = (wire.NEWRULE, wire.DELRULE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One transaction that touched the table."""

    task: int
    """Thread id, as the first pid namespace counts; see `own_task`. 0 if announcements were lost."""
    program: str
    """Its name, for people."""
    touches_objects: bool
    """The table, a chain, set or map was added, removed, or changed in shape."""
    rule_chains: frozenset[str] = frozenset()
    """Chains of which rules were added, removed or changed."""
    element_sets: frozenset[str] = frozenset()
    """Sets and maps of which elements were added or removed."""
    shrunk_sets: frozenset[str] = frozenset()
    """Those of them of which elements were removed. (Expired elements go without a commit.)"""
    is_complete: bool = True
    """False: announcements were lost, and anything may have changed."""


LOST = Commit(task=0, program="", touches_objects=True, is_complete=False)


class Monitor:
    """Announcements of commits that touched one `inet` table. Owns a socket; never blocks."""

    def __init__(self, table: str) -> None:
        """Listens from now on, in the current network namespace.

        Raises:
            OSError: the process may not listen.
        """
        self._table = table
        self._link = NetlinkSocket(receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        self._link.join(wire.NFNLGRP_NFTABLES)
        self._touches_objects = False
        self._element_sets: set[str] = set()
        self._shrunk_sets: set[str] = set()
        self._rule_chains: set[str] = set()

    def fileno(self) -> int:
        """The descriptor, for an event loop: readable when there may be a commit to `read`."""
        return self._link.fileno()

    def close(self) -> None:
        """Closes the socket; safe to call twice."""
        self._link.close()

    def ignore_ports(self, ports: Iterable[int]) -> None:
        """Lets the kernel drop announcements of commits made through these netlink ports (`ElementWriter.port_id`).

        Replaces the ports named before.

        Raises:
            ValueError: more than `MAX_PORTS`.
        """
        numbers = sorted(set(ports))
        if len(numbers) > MAX_PORTS:
            raise ValueError(f"cannot ignore {len(numbers)} ports: {MAX_PORTS} at most")
        # The filter loads words in network order, and the port is in the order of the machine.
        words = [socket.htonl(number) for number in numbers]
        program = [(_LOAD_WORD, 0, 0, _PORT_AT)]
        program += [(_JUMP_IF_EQUAL, len(words) - index, 0, word) for index, word in enumerate(words)]
        program += [(_RETURN, 0, 0, 0xFFFFFFFF), (_RETURN, 0, 0, 0)]
        code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in program))
        descriptor = struct.pack("HL", len(program), ctypes.addressof(code))
        self._link.raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)

    def pause(self) -> None:
        """Stops listening; what was announced before can still be read."""
        self._link.leave(wire.NFNLGRP_NFTABLES)

    def listen(self) -> None:
        """Listens again; what was committed meanwhile was not announced."""
        self._link.join(wire.NFNLGRP_NFTABLES)

    def read(self) -> list[Commit]:
        """The commits announced since the last call, oldest first.

        Raises:
            OSError: the socket is broken.
        """
        commits: list[Commit] = []
        while True:
            try:
                data = self._link.raw.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return commits
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                commits.append(LOST)
                continue
            for event in message.messages(data):
                commits += self._take(event)

    def _take(self, event: message.Message) -> list[Commit]:
        """Notes what an announcement says was changed; the one of a generation ends the commit."""
        if event.type >> 8 != message.NFNL_SUBSYS_NFTABLES:
            return []
        kind = event.type & 0xFF
        if kind == wire.NEWGEN:
            return self._end(event)
        for number, payload in message.attributes(event.body):
            if number == wire.NFTA_TABLE_NAME:  # the first attribute of them all
                if wire.string(payload) != self._table:
                    break
                self._touches_objects |= kind not in _ELEMENTS and kind not in _RULES
            elif number == wire.NFTA_ELEM_LIST_SET and kind in _ELEMENTS:
                self._element_sets.add(wire.string(payload))
                if kind == wire.DELSETELEM:
                    self._shrunk_sets.add(wire.string(payload))
                break
            elif number == wire.NFTA_RULE_CHAIN and kind in _RULES:
                self._rule_chains.add(wire.string(payload))
                break
        return []

    def _end(self, event: message.Message) -> list[Commit]:
        touched = self._touches_objects or bool(self._element_sets or self._rule_chains)
        task, program = generation_maker(event.body)
        commit = Commit(
            task=task,
            program=program,
            touches_objects=self._touches_objects,
            rule_chains=frozenset(self._rule_chains),
            element_sets=frozenset(self._element_sets),
            shrunk_sets=frozenset(self._shrunk_sets),
        )
        self._touches_objects = False
        self._rule_chains.clear()
        self._element_sets.clear()
        self._shrunk_sets.clear()
        return [commit] if touched else []


def generation_maker(body: memoryview) -> tuple[int, str]:
    """Task and name of the program in a message about a generation."""
    attributes = dict(message.attributes(body))
    task = wire.number(attributes.get(wire.NFTA_GEN_PROC_PID, memoryview(b"")))
    return task, wire.string(attributes.get(wire.NFTA_GEN_PROC_NAME, memoryview(b"")))


def own_task(link: NetlinkSocket) -> int:
    """What commits of the calling thread will be announced with.

    Asked of the kernel, because inside a pid namespace (a container) a process does not know its own number.

    Raises:
        OSError: there is no nf_tables.
    """
    sequence = link.next_sequence()
    replies = link.dump(wire.request(wire.GETGEN, message.NLM_F_ACK, sequence), sequence)
    return [generation_maker(reply.body)[0] for reply in replies][-1]
