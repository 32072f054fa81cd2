"""The sets that rules look into: members that the graph tells, and addresses that the packet process learns."""

from collections.abc import Iterable
from typing import Final

from nft.expr import KeyType
from nft.model import Key, Set
from policy.rules import AddressPort, DomainSetID, IPSetID, IPSetKind, SetMember
from tidegate.render import names
from tidegate.render.family import FAMILIES, Family, halved
from tidegate.render.settings import RenderSettings

GC_SECONDS: Final = 60
"""Between the kernel's walks through a set whose elements expire; it takes milliseconds for 100,000 elements, and the
default is a second. Until then what has expired takes places of the set."""
_ROOM: Final = 4
_LEAST_PLACES: Final = 262_144


def places(live: int) -> int:
    """Elements for which the kernel has room in a learned set, if so many may be live.

    What has expired keeps its place until the kernel collects: this way 3,000 addresses a second and more may come and
    go. Places cost nothing until they are taken.
    """
    return max(_ROOM * live, _LEAST_PLACES)


def ip_sets(ip_set: IPSetID, kind: IPSetKind) -> tuple[Set, ...]:
    """The set's two halves, IPv4 and IPv6; both exist even if one is empty, because rules name both."""
    return tuple(_ip_set(ip_set, kind, family) for family in FAMILIES)


def _ip_set(ip_set: IPSetID, kind: IPSetKind, family: Family) -> Set:
    name = names.ip_set(ip_set, family.version)
    match kind:
        case IPSetKind.NETS:
            return Set(name=name, key=(family.address,), is_interval=True)
        case IPSetKind.PORTS:
            return Set(name=name, key=(family.address, KeyType.PROTOCOL, KeyType.PORT))


def keys(members: Iterable[SetMember], version: int) -> frozenset[Key]:
    """The members of one family as elements."""
    result: set[Key] = set()
    for member in members:
        if isinstance(member, AddressPort):
            if member.address.version == version:
                result.add((member.address, member.protocol, member.port))
        elif member.version == version:
            result.update((net,) for net in halved((member,)))
    return frozenset(result)


def learned_sets(domain_set: DomainSetID, settings: RenderSettings) -> tuple[Set, ...]:
    """The sets of (endpoint address . learned address) of the two families, which the packet process fills."""
    return tuple(
        Set(
            name=names.domain_set(domain_set, family.version),
            key=(family.address, family.address),
            has_timeout=True,
            size=places(settings.learned_set_size),
            gc_interval_seconds=GC_SECONDS,
            is_learned=True,
        )
        for family in FAMILIES
    )
