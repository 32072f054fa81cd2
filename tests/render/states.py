"""Small node states, composed by hand: the vocabulary of the renderer's tests."""

from ipaddress import ip_address, ip_network

from policy.rules import (
    Action,
    AddressPort,
    CompiledPolicy,
    CompiledRule,
    Direction,
    DomainSet,
    DomainSetID,
    Endpoint,
    EndpointID,
    EndpointPolicy,
    EndpointTier,
    EntityMatch,
    HostEndpoint,
    HostEndpointID,
    HostEndpointPolicy,
    IPSetID,
    IPSetKind,
    NodeState,
    PolicyID,
    PortRange,
    RuleID,
    Stage,
)

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
NET4, NET6 = ip_network("10.0.0.0/8"), ip_network("fd00::/8")


def policy_id(name: str, namespace: str = "", kind: str = "GlobalNetworkPolicy") -> PolicyID:
    return PolicyID(name=name, namespace=namespace, kind=kind)


def profile_id(name: str) -> PolicyID:
    return policy_id(name, kind="Profile")


def rule(
    action: Action = Action.ALLOW,
    *,
    policy: PolicyID | None = None,
    direction: Direction = EGRESS,
    index: int = 0,
    tier: str = "default",
    **criteria,
) -> CompiledRule:
    return CompiledRule(id=RuleID(tier, policy or policy_id("p"), direction, index), action=action, **criteria)


def policy(
    name: str,
    *,
    egress: tuple[dict, ...] = (),
    ingress: tuple[dict, ...] = (),
    namespace: str = "",
    kind: str = "GlobalNetworkPolicy",
    tier: str = "default",
    is_staged: bool = False,
    stage: Stage = Stage.NORMAL,
) -> CompiledPolicy:
    """Rules are keyword arguments of `rule`."""
    who = policy_id(name, namespace, "StagedGlobalNetworkPolicy" if is_staged else kind)
    made = {
        direction: tuple(
            rule(policy=who, direction=direction, index=index, tier=tier, **item) for index, item in enumerate(items)
        )
        for direction, items in ((EGRESS, egress), (INGRESS, ingress))
    }
    return CompiledPolicy(
        id=who, tier=tier, egress=made[EGRESS], ingress=made[INGRESS], is_staged=is_staged, stage=stage
    )


def profile(name: str, **directions) -> CompiledPolicy:
    return policy(name, kind="Profile", tier="", **directions)


def endpoint(
    name: str,
    *,
    tiers: tuple[EndpointTier, ...] = (),
    profiles: tuple[str, ...] = (),
    addresses: tuple[str, ...] = ("10.65.0.2", "fd00:65::2"),
    interface: str | None = None,
    **fields,
) -> EndpointPolicy:
    return EndpointPolicy(
        endpoint=Endpoint(
            id=EndpointID(f"prod/{name}"),
            namespace="prod",
            name=name,
            node="node1",
            interface_name=f"cali{name}" if interface is None else interface,
            addresses=tuple(ip_address(item) for item in addresses),
            **fields,
        ),
        tiers=tiers,
        profiles=tuple(profile_id(item) for item in profiles),
    )


def host(name: str, *interfaces: str, profiles: tuple[str, ...] = (), **places) -> HostEndpointPolicy:
    """A host endpoint on these interfaces; places are tiers of `untracked`, `pre_dnat`, `normal` and `forward`."""
    identity = HostEndpointID(name)
    return HostEndpointPolicy(
        endpoint=HostEndpoint(id=identity, node="node1", interfaces=interfaces),
        profiles=tuple(profile_id(item) for item in profiles),
        **places,
    )


def tier(
    name: str = "default",
    *,
    egress: tuple[PolicyID, ...] = (),
    ingress: tuple[PolicyID, ...] = (),
    default_action=Action.DENY,
    leaving: tuple[PolicyID, ...] = (),
) -> EndpointTier:
    return EndpointTier(
        name=name, default_action=default_action, egress=egress, ingress=ingress, leaving=frozenset(leaving)
    )


def state(*, endpoints=(), hosts=(), policies=(), nets=None, ports=None, domains=None) -> NodeState:
    """`nets`: set name -> networks; `ports`: set name -> (address, protocol, port); `domains`: set name -> patterns."""
    ip_sets = {
        IPSetID(name): (IPSetKind.NETS, frozenset(map(ip_network, items))) for name, items in (nets or {}).items()
    }
    for name, items in (ports or {}).items():
        members = frozenset(AddressPort(ip_address(address), protocol, port) for address, protocol, port in items)
        ip_sets[IPSetID(name)] = (IPSetKind.PORTS, members)
    domain_sets = {
        DomainSetID(name): DomainSet(id=DomainSetID(name), patterns=frozenset(items))
        for name, items in (domains or {}).items()
    }
    return NodeState(
        endpoints={item.endpoint.id: item for item in endpoints},
        host_endpoints={item.endpoint.id: item for item in hosts},
        policies={item.id: item for item in policies},
        ip_sets=ip_sets,
        domain_sets=domain_sets,
    )


def to(**fields) -> EntityMatch:
    return EntityMatch(**fields)


def port(first: int, last: int | None = None) -> PortRange:
    return PortRange(first, first if last is None else last)


def typical() -> NodeState:
    """Two tiers, a pass, names, named ports, nets of both families, a log rule, and a profile."""
    admin = policy(
        "deny-metadata",
        tier="security",
        egress=(
            {"action": Action.LOG, "destination": to(nets=(ip_network("169.254.169.254/32"),))},
            {"action": Action.DENY, "destination": to(nets=(ip_network("169.254.169.254/32"),))},
            {"action": Action.PASS},
        ),
    )
    web = policy(
        "web",
        namespace="prod",
        kind="NetworkPolicy",
        ingress=(
            {
                "protocol": 6,
                "source": to(sets=(IPSetID("clients"),)),
                "destination": to(ports=(port(80), port(443), port(8000, 8010))),
            },
        ),
        egress=(
            {"protocol": 17, "destination": to(ports=(port(53),), nets=(ip_network("10.96.0.10/32"),))},
            {"protocol": 6, "destination": to(domain_set=DomainSetID("github"), ports=(port(443),))},
            {"protocol": 6, "destination": to(port_sets=(IPSetID("database"),))},
            {"action": Action.DENY, "destination": to(nets=(NET4, NET6))},
        ),
    )
    allow = profile("kns.prod", ingress=({},), egress=({},))
    tiers = (
        tier("security", egress=(admin.id,), default_action=Action.PASS),
        tier("default", egress=(web.id,), ingress=(web.id,)),
    )
    return state(
        endpoints=(
            endpoint("web", tiers=tiers, profiles=("kns.prod",)),
            endpoint("tool", profiles=("kns.prod",), addresses=("10.65.0.3",)),
        ),
        policies=(admin, web, allow),
        nets={"clients": ("10.65.0.3/32", "10.65.7.0/24", "fd00:65::3/128")},
        ports={"database": (("10.65.0.9", 6, 5432), ("fd00:65::9", 6, 5432))},
        domains={"github": ("github.com", "*.github.com")},
    )
