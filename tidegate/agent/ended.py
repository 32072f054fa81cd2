"""The kernel's side of ending connections: learned addresses in, directions of ended connections out. Blocks."""

import errno
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import final

from nfq.connection import Connection
from nft.elements import Change, ElementWriter, Operation
from nft.errors import NftError
from nft.model import Key
from policy.rules import NodeState
from tidegate.render import names
from tidegate.render.ended import DATAGRAM_SECONDS, STREAM_SECONDS

_BATCH = 1000
_TCP = 6
_PORTED = frozenset((6, 17, 132, 136))
"""TCP, UDP, SCTP, UDPLite."""
_CONTROL = frozenset((1, 58))
"""ICMP: conntrack begins nothing with an answer."""


@final
class KernelSets:
    """The sets of one table that revocation reads and writes. Not for two threads at once."""

    def __init__(self, table: str, *, readd_refreshes: bool = False) -> None:
        """Opens the socket; `readd_refreshes` is the kernel's feature of that name (`nft.features`).

        Raises:
            OSError: the kernel has no netfilter netlink.
        """
        self._writer = ElementWriter(table, readd_refreshes=readd_refreshes)
        self.commits = 0
        """Transactions that the kernel made for us."""

    @property
    def port_id(self) -> int:
        """The netlink port of our commits, which are nobody's interference with the table."""
        return self._writer.port_id

    def close(self) -> None:
        """Closes the socket; safe to call twice."""
        self._writer.close()

    def learned(self, part: NodeState) -> dict[str, list[Key]]:
        """The elements of the learned sets of the part, by name.

        Raises:
            NftError: a set is not there, or the kernel refused.
        """
        sets = (names.domain_set(identity, version) for identity in part.domain_sets for version in (4, 6))
        return {name: [_pair(element.key) for element in self._writer.read(name)] for name in sets}

    def remember(self, doomed: Iterable[Connection]) -> int:
        """Writes the directions from which nothing may come any more; how many there was no room for.

        What was picked up in its middle is left out: nobody knows which end began it.

        Raises:
            NftError: the kernel refused.
        """
        directions = (each for each in doomed if each.original.protocol not in _CONTROL and not each.is_picked_up)
        left_out = 0
        while batch := list(islice(directions, _BATCH)):
            left_out += self._write(
                list({(change.set_name, change.key): change for change in map(_change, batch)}.values())
            )
        return left_out

    def _write(self, changes: Sequence[Change]) -> int:
        try:
            self._writer.write(changes)
        except NftError as error:
            if error.errno != errno.ENFILE:
                raise
            return len(changes)
        self.commits += 1
        return 0


def _change(entry: Connection) -> Change:
    answers, version = entry.reply, entry.original.version
    key = answers.source + answers.destination + bytes((answers.protocol, 0, 0, 0))
    if answers.protocol not in _PORTED:
        return Change(Operation.REFRESH, names.ended_pairs(version), key, DATAGRAM_SECONDS * 1000)
    key += b"".join(
        (port or 0).to_bytes(2, "big") + b"\0\0" for port in (answers.source_port, answers.destination_port)
    )
    seconds = STREAM_SECONDS if answers.protocol == _TCP else DATAGRAM_SECONDS
    return Change(Operation.REFRESH, names.ended(version), key, seconds * 1000)


def _pair(key: bytes) -> Key:
    half = len(key) // 2
    return ip_address(key[:half]), ip_address(key[half:])
