"""The sets that rules look into: members that the graph tells, and addresses that the packet process learns."""

from collections.abc import Iterable

from nft.expr import KeyType
from nft.model import Key, Set
from policy.rules import AddressPort, DomainSetID, IPSetID, IPSetKind, SetMember
from tidegate.render import names
from tidegate.render.family import FAMILIES, Family, halved
from tidegate.render.settings import RenderSettings


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
            size=settings.learned_set_size,
            gc_interval_seconds=settings.learned_gc_seconds,
            is_learned=True,
        )
        for family in FAMILIES
    )
