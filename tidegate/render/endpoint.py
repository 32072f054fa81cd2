"""One endpoint: its two chains, and what its interface is in: the maps and sets that every packet is looked up in."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from nft import expr
from nft.model import Chain, Key, Rule
from policy.rules import Direction, Endpoint
from tidegate.config.packets import SourceCheck
from tidegate.render import names
from tidegate.render.family import V4, V6, Family, halved
from tidegate.render.fragment import Fragment
from tidegate.render.limits import in_force, limit_chains, questions
from tidegate.render.settings import RenderSettings


def render_chains(endpoint: Endpoint, lists: Mapping[Direction, str], settings: RenderSettings) -> Fragment:
    """The endpoint's entry chains. They lead to lists that it may share with others."""
    chains = [_entry(endpoint, direction, lists[direction], settings) for direction in Direction]
    if endpoint.is_active:
        chains += limit_chains(endpoint, settings)
    return Fragment(chains={chain.name: chain for chain in chains})


def _entry(endpoint: Endpoint, direction: Direction, policy_list: str, settings: RenderSettings) -> Chain:
    """Clears the mark bit before policy runs: a packet may come with bits that another program set."""
    name = names.endpoint_chain(endpoint.id, direction)
    if not endpoint.is_active:
        return Chain(
            name, (Rule((expr.Counter(), expr.Drop()), f"{endpoint.id} is not active"[: names.MAX_COMMENT_BYTES]),)
        )
    goto = (expr.SetMark(settings.pass_mark, 0), expr.Counter(), expr.Goto(policy_list))
    limits = questions(endpoint, direction, settings)
    return Chain(name, (*limits, Rule(goto, endpoint.id[: names.MAX_COMMENT_BYTES])))


def render_interface(who: Endpoint, settings: RenderSettings, *, has_names: bool, is_proxied: bool = False) -> Fragment:
    """The interface's entries: dispatch maps, the set of workloads, its source addresses, the DNS clients."""
    interface: Key = (who.interface_name,)
    elements = {
        names.WORKLOADS: frozenset({interface}),
        names.sources(4): _sources(who, V4),
        names.sources(6): _sources(who, V6),
    }
    if has_names:
        elements[names.DNS_CLIENTS] = frozenset({interface})
    if is_proxied:
        elements[names.DNS_PROXIED] = frozenset({interface})
    verdicts: dict[str, dict[Key, expr.Verdict]] = {
        names.FROM_ENDPOINT: {interface: expr.Goto(names.endpoint_chain(who.id, Direction.EGRESS))},
        names.TO_ENDPOINT: {interface: expr.Goto(names.endpoint_chain(who.id, Direction.INGRESS))},
    }
    verdicts |= _packet_limits(who, settings)
    chains = {}
    if (
        settings.source_check is not SourceCheck.OFF
        and settings.honours_source_prefixes
        and who.allowed_source_prefixes
    ):
        chain = _source_prefixes(who)
        chains[chain.name] = chain
        verdicts[names.SOURCE_PREFIXES] = {interface: expr.Jump(chain.name)}
    return Fragment(chains=chains, elements=elements, verdicts=verdicts)


def _packet_limits(who: Endpoint, settings: RenderSettings) -> dict[str, dict[Key, expr.Verdict]]:
    maps = {Direction.EGRESS: names.LIMITED_FROM, Direction.INGRESS: names.LIMITED_TO}
    return {
        name: {(who.interface_name,): expr.Jump(names.limit_chain(who.id, direction, names.LimitKind.PACKETS))}
        for direction, name in maps.items()
        if who.is_active and in_force(who, direction, settings).packets
    }


def _sources(endpoint: Endpoint, family: Family) -> frozenset[Key]:
    return frozenset(
        (endpoint.interface_name, address)
        for address in endpoint.addresses
        if (family.version == 4) == isinstance(address, IPv4Address)
    )


def _source_prefixes(endpoint: Endpoint) -> Chain:
    rules = [
        Rule((expr.Compare((V4 if isinstance(net, IPv4Network) else V6).source, expr.Op.EQ, net), expr.Accept()))
        for net in halved(endpoint.allowed_source_prefixes)
    ]
    return Chain(names.source_chain(endpoint.id), tuple(rules))
