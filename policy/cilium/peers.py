"""Who stands on the far side of a rule of Cilium, as entities of rules here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from policy.cilium import labels
from policy.cilium.context import Context, Network
from policy.cilium.names import named
from policy.cilium.part import Part
from policy.cilium.remarks import CannotError, Effect, Remark
from policy.domains import Wildcard

GROUP_LABEL = "cilium.io/cidrgroup"
"""On the GlobalNetworkSet that a CiliumCIDRGroup becomes."""
_MAX_NETS = 256
"""Of one rule (Calico: EntityRule.nets)."""
_EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class Peer:
    """One entity of a rule; an empty one is everybody."""

    entity: dict[str, object]
    wildcard: Wildcard | None = None
    """What `*` means in its domains."""
    version: int | None = None
    """Of its networks."""


def peers(rule: Part, context: Context) -> list[Peer]:
    """The far sides that a rule names; one empty peer if it names none but says something else.

    Raises:
        CannotError: a part of it cannot be said here.
    """
    prefix = "from" if context.is_ingress else "to"
    found: list[tuple[str, Part]] = []
    for kind in _READERS:
        part = rule.get(f"{prefix}{kind}")
        if part is not None:
            found.append((kind, part))
    if not found:
        is_empty = rule.get("toPorts") is None and rule.get("icmps") is None
        return [] if is_empty else [Peer({})]
    if len(found) > 1:
        raise CannotError(found[1][1].path, f"cannot stand beside {prefix}{found[0][0]}")
    kind, part = found[0]
    return [peer for item in part.items() for peer in context.parts(item, _READERS[kind])]


def _endpoints(part: Part, context: Context) -> Iterator[Peer]:
    chosen = labels.selected(part)
    entity: dict[str, object] = {"selector": chosen.own or "all()"}
    if chosen.namespace or not context.is_namespaced:
        entity["namespaceSelector"] = chosen.namespace or "all()"
    yield Peer(entity)


def _network(part: Part, context: Context) -> Iterator[Peer]:
    yield from _networks(part.path, _parsed(part), (), context)


def _network_set(part: Part, context: Context) -> Iterator[Peer]:
    part.only("cidr", "cidrGroupRef", "except")
    network, group, holes = part.get("cidr"), part.get("cidrGroupRef"), part.get("except")
    without = [_parsed(item) for item in holes.items()] if holes else []
    if network is not None:
        yield from _networks(part.path, _parsed(network), without, context)
    elif group is not None and not without:
        yield Peer({"selector": f"{GROUP_LABEL} == '{group.text()}'", "namespaceSelector": "global()"})
    else:
        raise CannotError(part.path, "needs a cidr, or a cidrGroupRef without exceptions")


def _networks(path: str, network: Network, without: Sequence[Network], context: Context) -> Iterator[Peer]:
    """Networks of Cilium never mean pods: those have identities."""
    own = [each for each in context.cluster_networks if each.version == network.version and each.overlaps(network)]
    if any(_covers(each, network) for each in own):
        raise CannotError(path, "all of it is the cluster's own, where Cilium matches no addresses")
    if not context.cluster_networks:
        message = "matches pods too if they have addresses there: say the cluster's own networks"
        context.tell(Remark(path, Effect.WIDER, message))
    holes = sorted({str(each) for each in (*without, *own)})
    nets: dict[str, object] = {"nets": [str(network)]}
    yield Peer(nets | ({"notNets": holes} if holes else {}), version=network.version)


def _covers(wide: Network, narrow: Network) -> bool:
    return wide.prefixlen <= narrow.prefixlen


def _parsed(part: Part) -> Network:
    try:
        return ip_network(part.text(), strict=False)
    except ValueError:
        raise CannotError(part.path, f"{part.text()!r} is no network") from None


def _domain(part: Part, context: Context) -> Iterator[Peer]:
    del context
    name = named(part)
    yield Peer({"domains": [name.domain]}, name.wildcard)


def _service(part: Part, context: Context) -> Iterator[Peer]:
    part.only("k8sService")
    service = part.get("k8sService")
    if service is None:
        raise CannotError(part.path, "needs k8sService")
    service.only("serviceName", "namespace")
    name, namespace = service.get("serviceName"), service.get("namespace")
    if name is None or (namespace is None and not context.is_namespaced):
        raise CannotError(service.path, "needs a serviceName, and a namespace in a policy without one")
    yield Peer({"services": {"name": name.text()} | ({"namespace": namespace.text()} if namespace else {})})


def _entity(part: Part, context: Context) -> Iterator[Peer]:
    match part.text():
        case "all":
            yield Peer({})
        case "none":
            return
        case "host" if context.is_ingress:
            return  # a host always reaches its own workloads, here as there
        case "cluster":
            yield from _cluster(part, context)
        case "world" | "world-ipv4" | "world-ipv6" as name:
            yield from _world(part, name, context)
        case "kube-apiserver" if not context.is_ingress:
            yield Peer({"services": {"name": "kubernetes", "namespace": "default"}})
        case name:
            raise CannotError(part.path, f"{name} is nothing that rules can name here")


def _cluster(part: Part, context: Context) -> Iterator[Peer]:
    if not context.cluster_networks:
        context.tell(Remark(part.path, Effect.NARROWER, "pods alone, not hosts: say the cluster's own networks"))
        yield Peer({"namespaceSelector": "all()"})
    for network in context.cluster_networks:
        yield Peer({"nets": [str(network)]}, version=network.version)


def _world(part: Part, name: str, context: Context) -> Iterator[Peer]:
    if not context.cluster_networks:
        raise CannotError(part.path, "what is the world? Say the cluster's own networks")
    for network in _EVERYTHING:
        if name in {"world", f"world-ipv{network.version}"}:
            yield from _networks(part.path, network, (), context)


_READERS: dict[str, Callable[[Part, Context], Iterator[Peer]]] = {
    "Endpoints": _endpoints,
    "CIDR": _network,
    "CIDRSet": _network_set,
    "FQDNs": _domain,
    "Services": _service,
    "Entities": _entity,
}
"""By the field's name without `to` or `from`."""
