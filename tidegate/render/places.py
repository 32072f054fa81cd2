"""The places at which host endpoints judge a packet, and whom each of them asks there.

host-untracked-in, -out    before conntrack       doNotTrack policies; Allow takes the packet past all the others
host-prednat               before DNAT            preDNAT policies; Allow takes it past the next two
host-in                    input                  normal policies, then profiles, then denial
host-forward-in            forward                normal policies with applyOnForward; nothing denies behind them
host-forward-out           forward                likewise, at the interface it leaves by
host-out                   output, postrouting    normal policies, then profiles, then denial
"""

from collections.abc import Iterator
from enum import StrEnum

from policy.rules import EVERY_INTERFACE, Direction, EndpointTier, HostEndpointPolicy, PolicyID
from tidegate.render.tiers import PolicyList


class HostPlace(StrEnum):
    """One of the places; its word names the map from interfaces to chains."""

    UNTRACKED_IN = "host-untracked-in"
    UNTRACKED_OUT = "host-untracked-out"
    PRE_DNAT = "host-prednat"
    IN = "host-in"
    FORWARD_IN = "host-forward-in"
    FORWARD_OUT = "host-forward-out"
    OUT = "host-out"

    @property
    def direction(self) -> Direction:
        """Of the policy that is asked."""
        is_egress = self in (HostPlace.UNTRACKED_OUT, HostPlace.FORWARD_OUT, HostPlace.OUT)
        return Direction.EGRESS if is_egress else Direction.INGRESS

    @property
    def is_final(self) -> bool:
        """Whether profiles and a denial stand behind the tiers."""
        return self in (HostPlace.IN, HostPlace.OUT)


def asked(host: HostEndpointPolicy, place: HostPlace) -> PolicyList | None:
    """Who is asked about a packet at the place; None where nobody is.

    An endpoint for every interface has no untracked policy (Calico: doNotTrack needs a named interface).
    """
    profiles = host.profiles if place.is_final else ()
    found = PolicyList.ask(_tiers(host, place), profiles, place.direction, is_open=not place.is_final)
    return found if found.is_asked or found.trial.tiers else None


def governing_own(host: HostEndpointPolicy) -> Iterator[PolicyID]:
    """The policies and profiles, staged ones too, whose egress is about what the host's own processes send."""
    yield from (policy for tier in host.normal for policy in tier.egress)
    yield from host.profiles


def _tiers(host: HostEndpointPolicy, place: HostPlace) -> tuple[EndpointTier, ...]:
    match place:
        case HostPlace.UNTRACKED_IN | HostPlace.UNTRACKED_OUT:
            return () if EVERY_INTERFACE in host.endpoint.interfaces else host.untracked
        case HostPlace.PRE_DNAT:
            return host.pre_dnat
        case HostPlace.FORWARD_IN | HostPlace.FORWARD_OUT:
            return host.forward
        case HostPlace.IN | HostPlace.OUT:
            return host.normal
