"""Host endpoints: their chains, and the base chains that lead to them, which are empty on a node that has none.

    prerouting  -299  host-raw-prerouting   clears the mark; untracked policy              -> host-untracked-in-..
    prerouting  -149  host-prerouting       policy before DNAT                             -> host-prednat-..
    input          2  host-input            what local processes receive                   -> host-in-..
    forward       -1  host-forward          at the interface a packet came by              -> host-forward-in-..
    forward        2  host-delivery         at the interface it leaves by                  -> host-forward-out-..
    output      -300  host-raw-output       clears the mark; untracked policy              -> host-untracked-out-..
    output         1  host-output           what local processes send, but for DNAT        -> host-sent -> host-out-..
    postrouting    0  host-postrouting      what the host's own DNAT sent another way      -> host-sent -> host-out-..

The interface is looked up in the map of the place. One that is not in the map has the endpoint for every interface, if
there is one, and else no policy at all. Workloads' interfaces are no exception where packets are forwarded or have not
met DNAT yet; what passes between the host and its own workloads is not asked about at `host-in` and `host-out`.
"""

from collections.abc import Collection, Iterator, Mapping

from nft import expr
from nft.expr import Compare, Field, Lookup, Op
from nft.model import Chain, Hook, Key, Rule
from policy.rules import EVERY_INTERFACE, HostEndpointID, HostEndpointPolicy
from tidegate.config.packets import DenyAction
from tidegate.render import names, tunnels
from tidegate.render.failsafe import failsafe_chains
from tidegate.render.fragment import Fragment
from tidegate.render.places import HostPlace
from tidegate.render.settings import RenderSettings

_ESTABLISHED = Rule((Compare(Field.CT_STATE, Op.EQ, "established,related"), expr.Accept()), "established")
_HOOKS = {
    "host-raw-prerouting": Hook("filter", "prerouting", -299),
    "host-prerouting": Hook("filter", "prerouting", -149),
    "host-input": Hook("filter", "input", 2),
    "host-forward": Hook("filter", "forward", -1),
    "host-delivery": Hook("filter", "forward", 2),
    "host-raw-output": Hook("filter", "output", -300),
    "host-output": Hook("filter", "output", 1),
    "host-postrouting": Hook("filter", "postrouting", 0),
}
_FAILSAFE = {
    HostPlace.UNTRACKED_IN: names.FAILSAFE_IN_RAW,
    HostPlace.UNTRACKED_OUT: names.FAILSAFE_OUT_RAW,
    HostPlace.PRE_DNAT: names.FAILSAFE_IN,
    HostPlace.IN: names.FAILSAFE_IN,
    HostPlace.OUT: names.FAILSAFE_OUT,
}


def empty_chains() -> tuple[Chain, ...]:
    """The chains that are filled when the first host endpoint comes: without one, no packet meets a rule in them."""
    return tuple(Chain(name, hook=hook) for name, hook in _HOOKS.items())


# --- One endpoint ---


def render_host(host: HostEndpointPolicy, lists: Mapping[HostPlace, str], settings: RenderSettings) -> Fragment:
    """The endpoint's chains, and the entries of its interfaces in the maps. Where nobody is asked, packets go on."""
    identity = host.endpoint.id
    chains = [_entry(identity, place, name, settings) for place, name in lists.items()]
    verdicts: dict[str, dict[Key, expr.Verdict]] = {}
    for place in HostPlace:
        verdict = expr.Goto(names.host_chain(identity, place)) if place in lists else expr.Accept()
        verdicts[place] = {(name,): verdict for name in host.endpoint.interfaces if name != EVERY_INTERFACE}
    return Fragment(chains={chain.name: chain for chain in chains}, verdicts=verdicts)


def _entry(identity: HostEndpointID, place: HostPlace, policy_list: str, settings: RenderSettings) -> Chain:
    failsafe = (Rule((expr.Jump(_FAILSAFE[place]),)),) if place in _FAILSAFE else ()
    goto = (expr.SetMark(settings.pass_mark, 0), expr.Counter(), expr.Goto(policy_list))
    comment = f"host endpoint {identity}"[: names.MAX_COMMENT_BYTES]
    return Chain(names.host_chain(identity, place), (*failsafe, Rule(goto, comment)))


# --- All of them ---


class HostBase:
    """The base chains. Immutable; depends on the places where anybody asks, and who has the other interfaces there."""

    def __init__(
        self,
        lists: Mapping[HostEndpointID, Mapping[HostPlace, str]],
        others: HostEndpointID | None,
        deciding: Collection[HostPlace],
    ) -> None:
        """Says who is asked where.

        Args:
            lists: of the host endpoints that are in force.
            others: has every interface that no map names.
            deciding: the places where anybody decides; at the others staged policies count, and nothing is dropped.
        """
        self._deciding = deciding
        self._used = {place for places in lists.values() for place in places}
        self._rest = {} if others is None else {place: names.host_chain(others, place) for place in lists[others]}

    def fragment(self, settings: RenderSettings) -> Fragment:
        """The chains, filled."""
        rules = {
            "host-raw-prerouting": self._raw(HostPlace.UNTRACKED_IN, settings),
            "host-prerouting": self._judged(HostPlace.PRE_DNAT, settings),
            "host-input": self._input(settings),
            "host-forward": self._judged(HostPlace.FORWARD_IN, settings),
            "host-delivery": self._delivery(settings),
            "host-raw-output": self._raw(HostPlace.UNTRACKED_OUT, settings),
            "host-output": self._output(settings),
            "host-postrouting": _postrouting(settings),
        }
        chains = [Chain(name, tuple(found), _HOOKS[name]) for name, found in rules.items()]
        chains += [
            Chain(names.HOST_SENT, tuple(self._sent(settings))),
            Chain(names.HOST_TAKEN, tuple(self._dispatch(HostPlace.FORWARD_IN))),
            Chain(names.HOST_RELAYED, (_ESTABLISHED, *self._dispatch(HostPlace.FORWARD_OUT))),
            *failsafe_chains(settings),
        ]
        return Fragment(chains={chain.name: chain for chain in chains})

    def _raw(self, place: HostPlace, settings: RenderSettings) -> Iterator[Rule]:
        """The mark is cleared wherever a packet begins: nobody else may say that it was allowed."""
        yield Rule((expr.SetMark(settings.host_mark, 0),))
        if place is HostPlace.UNTRACKED_OUT and settings.reads_tcp:
            yield Rule((_is_marked(settings.agent_mark), expr.Accept()), "in a workload's name")
        yield from self._dispatch(place)

    def _judged(self, place: HostPlace, settings: RenderSettings) -> Iterator[Rule]:
        if place in self._used:
            yield _ESTABLISHED
            yield _allowed_before(settings)
            if place in self._deciding:
                yield from _invalid(settings)
            yield from self._dispatch(place)

    def _input(self, settings: RenderSettings) -> Iterator[Rule]:
        yield _ESTABLISHED
        yield _allowed_before(settings)
        if HostPlace.FORWARD_IN in self._used and settings.reads_tcp:
            yield Rule((_is_marked(settings.intercept_mark), expr.Goto(names.HOST_TAKEN)), "as if forwarded")
        yield Rule((Lookup((Field.IIFNAME,), names.WORKLOADS), expr.Accept()), "from a workload")
        yield from tunnels.received(settings.tunnels)
        yield from _invalid(settings)
        yield from self._dispatch(HostPlace.IN)

    def _delivery(self, settings: RenderSettings) -> Iterator[Rule]:
        if HostPlace.FORWARD_OUT in self._used:
            yield _ESTABLISHED
            if HostPlace.FORWARD_OUT in self._deciding:
                yield from _invalid(settings)
            yield from self._dispatch(HostPlace.FORWARD_OUT)

    def _output(self, settings: RenderSettings) -> Iterator[Rule]:
        """Behind DNAT the interface is still that of the way before it (kernel: nf_nat_ipv4_local_fn), so others wait.

        `reject` cannot stand behind `postrouting` (kernel: nft_reject_validate): there the old way must do. What the
        packet process passes on for a workload is judged as what workloads send.
        """
        if settings.reads_tcp:
            yield Rule((_is_marked(settings.agent_mark), expr.Goto(names.HOST_RELAYED)), "in a workload's name")
        if settings.deny_action is DenyAction.DROP:
            yield Rule((expr.DestinationTranslated(), expr.Accept()), "judged when its way is known")
        yield Rule((expr.Goto(names.HOST_SENT),))

    def _sent(self, settings: RenderSettings) -> Iterator[Rule]:
        yield _ESTABLISHED
        yield _allowed_before(settings)
        yield Rule((Lookup((Field.OIFNAME,), names.WORKLOADS), expr.Accept()), "to a workload")
        for prefix in settings.interface_prefixes:
            yield Rule((Compare(Field.OIFNAME, Op.EQ, f"{prefix}*"), expr.Accept()), "to a workload")
        yield from tunnels.sent(settings.tunnels)
        yield from _invalid(settings)
        yield from self._dispatch(HostPlace.OUT)

    def _dispatch(self, place: HostPlace) -> Iterator[Rule]:
        if place in self._used:
            leaves = place in (HostPlace.UNTRACKED_OUT, HostPlace.FORWARD_OUT, HostPlace.OUT)
            yield Rule((expr.VerdictMap((Field.OIFNAME if leaves else Field.IIFNAME,), place),))
        if place in self._rest:
            yield Rule((expr.Goto(self._rest[place]),), "every other interface")


def _postrouting(settings: RenderSettings) -> Iterator[Rule]:
    if settings.deny_action is DenyAction.DROP:
        not_relayed = (expr.MarkBits(settings.agent_mark, Op.EQ, 0),) if settings.reads_tcp else ()
        yield Rule((expr.SentByHost(), *not_relayed, expr.DestinationTranslated(), expr.Goto(names.HOST_SENT)))


def _is_marked(bit: int) -> expr.MarkBits:
    return expr.MarkBits(bit, Op.EQ, bit)


def _allowed_before(settings: RenderSettings) -> Rule:
    return Rule((_is_marked(settings.host_mark), expr.Accept()), "allowed before conntrack or DNAT")


def _invalid(settings: RenderSettings) -> Iterator[Rule]:
    if settings.drops_invalid:
        yield Rule((Compare(Field.CT_STATE, Op.EQ, "invalid"), expr.Counter(), expr.Drop()), "invalid")
