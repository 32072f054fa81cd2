"""The members of one set, gathered from many items: reference counts, and what changed since the last flush."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from policy.graph.items import Contribution
from policy.rules import AddressPort, IPNetwork, SetMember

MemberT = TypeVar("MemberT", bound=Hashable)


class Difference(Generic[MemberT]):
    """What came and went since `take`; coming and going again is nothing."""

    def __init__(self) -> None:
        self._added: set[MemberT] = set()
        self._removed: set[MemberT] = set()

    def __bool__(self) -> bool:
        return bool(self._added or self._removed)

    def add(self, member: MemberT) -> None:
        """The member came."""
        if member in self._removed:
            self._removed.discard(member)
        else:
            self._added.add(member)

    def remove(self, member: MemberT) -> None:
        """The member went."""
        if member in self._added:
            self._added.discard(member)
        else:
            self._removed.add(member)

    def take(self) -> tuple[frozenset[MemberT], frozenset[MemberT]]:
        """Added and removed; begins anew."""
        taken = frozenset(self._added), frozenset(self._removed)
        self._added.clear()
        self._removed.clear()
        return taken


class PortMembers:
    """(address, protocol, port) of ports with a name, on all addresses of their endpoints."""

    def __init__(self, protocol: int | None, port_name: str) -> None:
        self._protocol = protocol
        self._port_name = port_name
        self._counts: Counter[AddressPort] = Counter()
        self.difference: Difference[SetMember] = Difference()

    def add(self, contribution: Contribution) -> None:
        """An item is matched."""
        for member in self._members(contribution):
            self._counts[member] += 1
            if self._counts[member] == 1:
                self.difference.add(member)

    def discard(self, contribution: Contribution) -> None:
        """An item is matched no more."""
        for member in self._members(contribution):
            self._counts[member] -= 1
            if not self._counts[member]:
                del self._counts[member]
                self.difference.remove(member)

    def _members(self, contribution: Contribution) -> Iterator[AddressPort]:
        for port in contribution.ports:
            if port.name == self._port_name and self._protocol in (None, port.protocol):
                for net in contribution.nets:
                    yield AddressPort(net.network_address, port.protocol, port.port)


Place = tuple[int, int]
"""First address as a number, and prefix length: networks in this order stand directly before those they contain."""


class NetMembers:
    """Networks, of which only those that no other one contains are members: a kernel set of intervals wants them apart.

    Cost of one change: the logarithm of the size, and what the network contains.
    """

    def __init__(self) -> None:
        self._families = {4: _Family(32), 6: _Family(128)}
        self.difference: Difference[SetMember] = Difference()

    def add(self, contribution: Contribution) -> None:
        """An item is matched."""
        for net in _halved(contribution.nets):
            for member, is_member in self._families[net.version].add(net):
                (self.difference.add if is_member else self.difference.remove)(member)

    def discard(self, contribution: Contribution) -> None:
        """An item is matched no more."""
        for net in _halved(contribution.nets):
            for member, is_member in self._families[net.version].discard(net):
                (self.difference.add if is_member else self.difference.remove)(member)


def _halved(nets: Iterable[IPNetwork]) -> Iterator[IPNetwork]:
    """Everything is stored as two halves (Calico: so are 0.0.0.0/0 and ::/0)."""
    for net in nets:
        if net.prefixlen == 0:
            yield from net.subnets()
        else:
            yield net


class _Family:
    """The networks of one family. Every method says which members came (True) and went (False)."""

    def __init__(self, address_bits: int) -> None:
        self._address_bits = address_bits
        self._counts: dict[Place, int] = {}
        self._nets: dict[Place, IPNetwork] = {}
        self._order: list[Place] = []
        self._lengths: Counter[int] = Counter()

    def add(self, net: IPNetwork) -> Iterator[tuple[IPNetwork, bool]]:
        place = (int(net.network_address), net.prefixlen)
        if place in self._counts:
            self._counts[place] += 1
            return
        self._counts[place] = 1
        self._nets[place] = net
        insort(self._order, place)
        self._lengths[net.prefixlen] += 1
        if self._is_contained(place):
            return
        for inner in self._outermost_within(place):
            yield self._nets[inner], False
        yield net, True

    def discard(self, net: IPNetwork) -> Iterator[tuple[IPNetwork, bool]]:
        place = (int(net.network_address), net.prefixlen)
        self._counts[place] -= 1
        if self._counts[place]:
            return
        inner = tuple(self._outermost_within(place))
        is_contained = self._is_contained(place)
        del self._counts[place]
        member = self._nets.pop(place)
        del self._order[bisect_left(self._order, place)]
        self._lengths[net.prefixlen] -= 1
        if not self._lengths[net.prefixlen]:
            del self._lengths[net.prefixlen]
        if is_contained:
            return
        yield member, False
        for uncovered in inner:
            yield self._nets[uncovered], True

    def _is_contained(self, place: Place) -> bool:
        first, length = place
        for shorter in self._lengths:
            host_bits = self._address_bits - shorter
            if shorter < length and ((first >> host_bits) << host_bits, shorter) in self._counts:
                return True
        return False

    def _outermost_within(self, place: Place) -> Iterator[Place]:
        """The networks within, without those that again are within one of them."""
        first, length = place
        if length == self._address_bits:
            return
        last = first + (1 << (self._address_bits - length)) - 1
        at = bisect_left(self._order, (first, length + 1))
        while at < len(self._order) and self._order[at][0] <= last:
            inner = self._order[at]
            yield inner
            behind = inner[0] + (1 << (self._address_bits - inner[1]))
            at = bisect_left(self._order, (behind, 0), at)
