"""What the oracle is asked about: one first packet of a connection, and the names that were learned before it."""

from dataclasses import dataclass

from policy.domains import DomainName
from policy.rules import EndpointID, IPAddress

ICMP = 1
ICMPV6 = 58


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who sends or receives."""

    address: IPAddress
    endpoint: EndpointID | None = None
    """None: whichever endpoint has the address, if any does."""
    host: str | None = None
    """The node, where the party is a host itself and no workload."""
    interface: str = ""
    """The interface of the party's node that leads to where the other party is; "" is one that nobody names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet as policy sees it: after DNAT of services, before SNAT."""

    source: Party
    destination: Party
    protocol: int
    """IANA number."""
    source_port: int | None = None
    """None matches no port."""
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.destination.address.version


@dataclass(frozen=True, slots=True)
class LearnedName:
    """An endpoint was told that a name stands for an address.

    A fact: guards and lifetimes were applied when it was learned, and are not looked at again here.
    """

    endpoint: EndpointID
    name: DomainName
    address: IPAddress
    is_past: bool = False
    """Its time is over. The endpoint has connected to it while it lived, under each of its rules that selects the name,
    and not longer ago than those rules' grace."""
