"""Who is asked about a packet, in order: the sender's side on the sender's node, then the receiver's on the receiver's.

    workload to its own host     sender:    pre-DNAT of `*`, workload egress
    workload to a neighbour      sender:    pre-DNAT and forward-in of `*`, workload egress
                                 receiver:  workload ingress, forward-out of `*`
    workload to elsewhere        sender:    pre-DNAT and forward-in of `*`, workload egress, forward-out of the uplink
    elsewhere to a workload      receiver:  untracked, pre-DNAT, forward-in of the uplink, workload ingress,
                                            forward-out of `*`
    host to its own workload     nobody
    host to elsewhere or itself  sender:    untracked, normal of the interface
    elsewhere, itself to a host  receiver:  untracked, pre-DNAT, normal of the interface

A neighbour is on the same node; `*` is the endpoint for every other interface, as the workloads' interfaces are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from policy.evaluate.packet import Packet, Party
from policy.evaluate.world import Holder, World
from policy.rules import EVERY_INTERFACE, Direction

LOOPBACK = "lo"


class Place(StrEnum):
    """Where on its way a packet is asked about."""

    WORKLOAD = "workload"
    HOST = "host"
    """Normal policy of a host endpoint."""
    FORWARD = "forward"
    PRE_DNAT = "preDNAT"
    UNTRACKED = "untracked"


@dataclass(frozen=True, slots=True)
class Ask:
    """One endpoint, asked at one place."""

    who: Holder
    place: Place
    direction: Direction

    @property
    def is_settled_before(self) -> bool:
        """Whether untracked or pre-DNAT policy that allowed the packet has spoken for this place, too."""
        if self.place is Place.FORWARD:
            return self.direction is Direction.INGRESS
        return self.place is not Place.WORKLOAD


@dataclass(frozen=True, slots=True)
class Route:
    """The two ends of a packet's way."""

    world: World
    packet: Packet
    sender: Holder | None
    """The workload that sends, if one does."""
    receiver: Holder | None

    def of_sender(self) -> Iterator[Ask]:
        """Who is asked on the sender's node."""
        source, destination = self.packet.source, self.packet.destination
        if self.sender is not None:
            yield from self._from_workload(self.sender)
        elif source.host is not None and not self._is_on(self.receiver, source.host):
            interface = LOOPBACK if destination.host == source.host else source.interface
            yield from self._asked(source.host, interface, Direction.EGRESS, Place.UNTRACKED, Place.HOST)

    def _from_workload(self, sender: Holder) -> Iterator[Ask]:
        yield from self._asked(sender.node, EVERY_INTERFACE, Direction.INGRESS, Place.PRE_DNAT)
        if self.is_to_own_host:
            yield Ask(sender, Place.WORKLOAD, Direction.EGRESS)
            return
        yield from self._asked(sender.node, EVERY_INTERFACE, Direction.INGRESS, Place.FORWARD)
        yield Ask(sender, Place.WORKLOAD, Direction.EGRESS)
        if not self._is_on(self.receiver, sender.node):
            yield from self._asked(sender.node, self.packet.source.interface, Direction.EGRESS, Place.FORWARD)

    def of_receiver(self) -> Iterator[Ask]:
        """Who is asked on the receiver's node."""
        source, destination = self.packet.source, self.packet.destination
        arrival = Place.UNTRACKED, Place.PRE_DNAT
        if self.receiver is not None:
            if source.host is not None and source.host == self.receiver.node:
                return
            if not self._is_on(self.sender, self.receiver.node):
                interface = destination.interface
                yield from self._asked(self.receiver.node, interface, Direction.INGRESS, *arrival, Place.FORWARD)
            yield Ask(self.receiver, Place.WORKLOAD, Direction.INGRESS)
            yield from self._asked(self.receiver.node, EVERY_INTERFACE, Direction.EGRESS, Place.FORWARD)
        elif destination.host is not None and not self.is_to_own_host:
            interface = LOOPBACK if destination.host == source.host else destination.interface
            yield from self._asked(destination.host, interface, Direction.INGRESS, *arrival, Place.HOST)

    @property
    def is_to_own_host(self) -> bool:
        """Whether a workload sends to the host it runs on."""
        host = self.packet.destination.host
        return self.sender is not None and host is not None and host == self.sender.node

    def _asked(self, node: str, interface: str, direction: Direction, *places: Place) -> Iterator[Ask]:
        who = protector(self.world, node, interface)
        if who is not None:
            is_for_every = who.interface_name == EVERY_INTERFACE
            yield from (
                Ask(who, place, direction) for place in places if place is not Place.UNTRACKED or not is_for_every
            )

    @staticmethod
    def _is_on(workload: Holder | None, node: str) -> bool:
        return workload is not None and bool(node) and workload.node == node


def protector(world: World, node: str, interface: str) -> Holder | None:
    """The host endpoint that judges what passes the interface: the first by name that it belongs to, or that of `*`."""
    mine = sorted((host for host in world.hosts if node and host.node == node), key=lambda host: host.host or "")
    addresses = world.links.get(node, {}).get(interface, frozenset())
    own = [
        host
        for host in mine
        if (host.interface_name == interface if host.interface_name else any(map(host.holds, addresses)))
    ]
    return next(iter(own or [host for host in mine if host.interface_name == EVERY_INTERFACE]), None)


def workload_of(world: World, party: Party) -> Holder | None:
    """The workload that a party is."""
    if party.endpoint is not None:
        return world.endpoint(party.endpoint)
    return None if party.host is not None else world.endpoint_at(party.address)
