"""Where rules lead that bind connections to names: a name counts at the ports of its own rules alone. Pure."""

from collections.abc import Iterable

from policy.rules import CompiledPolicy, DomainSetID, PortRange

Door = tuple[int, int, int]
"""Protocol (0 is any), first and last port."""
Doors = tuple[tuple[DomainSetID, Door], ...]
_ALL_PORTS = (PortRange(0, 65_535),)


def doors_of(policy: CompiledPolicy) -> Doors:
    """Where the policy's bound rules lead; a staged policy's let nothing pass.

    Ports by name, and ports left out, are not told apart: such a rule leads to all of its protocol.
    """
    if policy.is_staged:
        return ()
    return tuple(
        (to.domain_set, (rule.protocol or 0, ports.first, ports.last))
        for rule in policy.egress
        if (to := rule.destination).domain_set is not None and rule.is_bound
        for ports in (_ALL_PORTS if to.port_sets or not to.ports else to.ports)
    )


def joined(parts: Iterable[Doors]) -> dict[DomainSetID, tuple[Door, ...]]:
    """All of them by domain set, in order."""
    found: dict[DomainSetID, set[Door]] = {}
    for identity, door in (each for part in parts for each in part):
        found.setdefault(identity, set()).add(door)
    return {identity: tuple(sorted(doors)) for identity, doors in found.items()}
