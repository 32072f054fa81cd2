"""One rule of Cilium as rules here: every far side with every port."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from policy.cilium.context import Context
from policy.cilium.part import Part
from policy.cilium.peers import Peer, peers
from policy.cilium.ports import Match, matches
from policy.cilium.remarks import CannotError, Effect, Remark
from policy.domains import Wildcard

_MAX_LISTED = 256
"""Networks, or domains, of one rule here (Calico: EntityRule.nets)."""
_FIELDS = {
    True: ("fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities", "toPorts", "icmps"),
    False: ("toEndpoints", "toCIDR", "toCIDRSet", "toEntities", "toFQDNs", "toServices", "toPorts", "icmps"),
}
"""By whether it is about ingress. What else there is (nodes, groups of clouds, authentication) has no counterpart."""
_VERSIONS = {"ICMP": 4, "ICMPv6": 6}


@dataclass(frozen=True, slots=True)
class Written:
    """A rule as Calico writes it, and what `*` means in its domains; None if it has no `*`."""

    rule: dict[str, object]
    wildcard: Wildcard | None = None


def rules(section: Part, action: str, context: Context) -> Iterator[Written]:
    """The rules of one section (`ingress`, `egressDeny`, ...); what cannot be said is told and left out."""
    for rule in section.items():
        try:
            rule.only(*_FIELDS[context.is_ingress])
            yield from list(_combined(rule, action, context))
        except CannotError as error:
            message = f"{error.reason}; the whole rule is left out"
            context.tell(Remark(error.path, context.loss, message))


def _combined(rule: Part, action: str, context: Context) -> Iterator[Written]:
    wanted = matches(rule, context)
    for peer in _joined(peers(rule, context)):
        if "services" in peer.entity and wanted != [{}]:
            message = "the service's own ports count instead of those that are written here"
            context.tell(Remark(rule.path, Effect.DIFFERENT, message))
            wanted = [{}]
        for match in wanted:
            if peer.version in (None, _VERSIONS.get(str(match.get("protocol")), peer.version)):
                yield Written(_rule(action, peer, match, context), peer.wildcard)


def _rule(action: str, peer: Peer, match: Match, context: Context) -> dict[str, object]:
    ports = {"ports": match["ports"]} if "ports" in match else {}
    rest = {key: value for key, value in match.items() if key != "ports"}
    source = peer.entity if context.is_ingress else {}
    destination = ports if context.is_ingress else peer.entity | ports
    sides = {"source": source, "destination": destination}
    return {"action": action, **rest, **{side: entity for side, entity in sides.items() if entity}}


def _joined(found: Iterable[Peer]) -> Iterator[Peer]:
    """Peers that differ in one list alone, as one."""
    lists: dict[tuple[str, Wildcard | None, int | None], list[Peer]] = {}
    for peer in found:
        name = next((name for name in ("domains", "nets") if peer.entity.keys() == {name}), None)
        if name is None:
            yield peer
        else:
            lists.setdefault((name, peer.wildcard, peer.version), []).append(peer)
    for (name, _, _), alike in lists.items():
        values = list(dict.fromkeys(value for peer in alike for value in _listed(peer.entity[name])))
        for first in range(0, len(values), _MAX_LISTED):
            yield replace(alike[0], entity={name: values[first : first + _MAX_LISTED]})


def _listed(value: object) -> list[str]:
    return value if isinstance(value, list) else []
