"""The simulator: how chains end, what packets have and lack, what sets hold, and what user space says.

The kernel's own word is in tests/nft/kernel/test_simulate.py.
"""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nft.expr import (
    Accept,
    Compare,
    ConnectionsOver,
    Counter,
    DestinationTranslated,
    Drop,
    Field,
    Goto,
    Jump,
    KeyType,
    LogToGroup,
    LogToKernel,
    Lookup,
    MarkBits,
    MidStream,
    NoTrack,
    Op,
    Queue,
    Range,
    RateLimit,
    RateLimitPer,
    Reject,
    Return,
    ReversePathMissing,
    SentByHost,
    SetMark,
    VerdictMap,
)
from nft.matching import Packet, Run, SimulationError, Step, key_of, make_test, reader
from nft.model import Chain, Hook, Rule, Set, Table, VerdictMapping
from nft.simulate import Answer, Answered, End, Simulator
from tests.nft.crossing import hooks
from tests.nft.mazes import mazes, packets

PACKET = Packet(
    source=ip_address("10.1.0.1"),
    destination=ip_address("10.2.0.1"),
    protocol=6,
    source_port=40000,
    destination_port=443,
    iif="cali1",
    oif="eth0",
)
PACKET6 = replace(PACKET, source=ip_address("fd00::1"), destination=ip_address("fd00::2"))
FORWARD = Hook("filter", "forward", 0)


def table(*chains, sets=(), maps=(), elements=None, verdicts=None):
    return Table(
        name="tg",
        chains={chain.name: chain for chain in chains},
        sets={each.name: each for each in sets},
        elements=elements or {},
        maps={each.name: each for each in maps},
        verdicts=verdicts or {},
    )


def chain(name, *rules, hook=None):
    """Rules are statements, or tuples of them."""
    return Chain(name, tuple(Rule(each if isinstance(each, tuple) else (each,)) for each in rules), hook)


def run(*chains, packet=PACKET, through=("prerouting", "forward", "postrouting"), listener=None, **parts):
    return Simulator(table(*chains, **parts)).run(packet, through, listener)


def steps(outcome):
    return [(step.chain, step.index) for step in outcome.trace]


# --- how chains end -----------------------------------------------------------------------------------------------


def test_a_jump_comes_back_to_the_next_rule():
    outcome = run(chain("base", Jump("inner"), Drop(), hook=FORWARD), chain("inner", Counter()))
    assert (outcome.end, steps(outcome)) == (End.DROP, [("base", 0), ("inner", 0), ("base", 1)])


def test_a_goto_comes_back_where_its_chain_would_have():
    outcome = run(
        chain("base", Jump("middle"), Drop(), hook=FORWARD),
        chain("middle", Goto("inner"), Accept()),
        chain("inner", Counter()),
    )
    assert (outcome.end, steps(outcome)) == (End.DROP, [("base", 0), ("middle", 0), ("inner", 0), ("base", 1)])


def test_a_goto_out_of_a_base_chain_ends_in_its_policy():
    base = chain("base", Goto("inner"), Accept(), hook=replace(FORWARD, policy="drop"))
    outcome = run(base, chain("inner", Return(), Accept()))
    assert (outcome.end, outcome.trace[-1]) == (End.DROP, Step("base", -1, "policy drop"))


def test_return_in_a_base_chain_is_its_policy():
    assert run(chain("base", Return(), Drop(), hook=FORWARD)).end is End.ACCEPT
    assert run(chain("base", Return(), Accept(), hook=replace(FORWARD, policy="drop"))).end is End.DROP


def test_return_leaves_the_chain_that_was_jumped_to_only():
    outcome = run(chain("base", Jump("inner"), Drop(), hook=FORWARD), chain("inner", Return(), Accept()))
    assert outcome.end is End.DROP


def test_accept_ends_its_base_chain_and_drop_ends_all():
    first = chain("first", Accept(), Drop(), hook=FORWARD)
    second = chain("second", Counter(), hook=replace(FORWARD, priority=1))
    assert steps(run(second, first)) == [("first", 0), ("second", 0), ("second", -1)]
    assert steps(run(second, chain("first", Drop(), hook=FORWARD))) == [("first", 0)]
    assert run(second, chain("first", Reject(), hook=FORWARD)).end is End.DROP


def test_base_chains_run_by_hook_and_priority():
    chains = [
        chain(f"{hook}-{priority}".replace("--", "-m"), Counter(), hook=Hook("filter", hook, priority))
        for hook in ("postrouting", "forward", "prerouting", "input")
        for priority in (10, -10)
    ]
    passed = [name for name, index in steps(run(*chains)) if index == -1]
    assert passed == [
        "prerouting-m10",
        "prerouting-10",
        "forward-m10",
        "forward-10",
        "postrouting-m10",
        "postrouting-10",
    ]


def test_marks_and_logs_go_from_chain_to_chain_and_stay_when_the_rule_does_not_match():
    first = chain(
        "first",
        (SetMark(0x30000, 0x10000), Compare(Field.DPORT, Op.EQ, 1), Drop()),
        (LogToKernel("seen: "), LogToGroup(3)),
        hook=FORWARD,
    )
    second = chain("second", (MarkBits(0x30000, Op.EQ, 0x10000), Drop()), hook=replace(FORWARD, priority=1))
    outcome = run(first, second, packet=replace(PACKET, mark=0x20005))
    assert outcome.end is End.DROP
    assert outcome.mark == 0x10005
    assert outcome.logs == ("seen: ", "group 3")


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", [Jump("gone"), Goto("gone"), Lookup((Field.MARK,), "gone"), VerdictMap((Field.MARK,), "gone")], ids=str
)
def test_what_leads_nowhere_is_refused_as_the_kernel_does(statement):
    with pytest.raises(SimulationError, match="cannot find"):
        run(chain("base", statement, hook=FORWARD))


def test_a_verdict_of_a_map_that_leads_nowhere_is_refused():
    mapping = VerdictMapping(name="m", key=(KeyType.MARK,))
    base = chain("base", VerdictMap((Field.MARK,), "m"), hook=FORWARD)
    with pytest.raises(SimulationError, match="cannot find chain gone"):
        run(base, maps=[mapping], verdicts={"m": {(1,): Goto("gone")}})


@pytest.mark.parametrize("verdict", [Jump, Goto])
def test_fifteen_chains_behind_a_base_chain_are_the_end(verdict):
    def ladder(depth):
        inner = [chain(f"c{n}", verdict(f"c{n + 1}") if n < depth else Accept()) for n in range(1, depth + 1)]
        return [chain("base", verdict("c1"), hook=FORWARD), *inner]

    assert run(*ladder(15)).end is End.ACCEPT
    with pytest.raises(SimulationError, match="more than 15 chains"):
        run(*ladder(16))


def test_circles_are_refused_also_through_maps():
    base = chain("base", Jump("a"), hook=FORWARD)
    with pytest.raises(SimulationError, match="circles"):
        run(base, chain("a", Jump("b")), chain("b", Goto("a")))
    with pytest.raises(SimulationError, match="circles"):
        run(
            base,
            chain("a", VerdictMap((Field.MARK,), "m")),
            maps=[VerdictMapping(name="m", key=(KeyType.MARK,))],
            verdicts={"m": {(7,): Jump("a")}},
        )


def test_ways_that_no_packet_can_take_may_be_circles():
    circle = [chain("a", Jump("b")), chain("b", Jump("a"))]
    assert run(chain("base", Accept(), hook=FORWARD), *circle).end is End.ACCEPT


def test_a_verdict_in_the_middle_of_a_rule_is_refused():
    with pytest.raises(SimulationError, match="before the end"):
        run(chain("base", (Accept(), Counter()), hook=FORWARD))


# --- what packets have and lack -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "comes", "leaves"),
    [("prerouting", True, False), ("forward", True, True), ("input", True, False), ("postrouting", True, True)],
)
def test_a_packet_has_a_way_out_only_once_it_is_routed(hook, comes, leaves):
    for field, name, has in ((Field.IIFNAME, "cali1", comes), (Field.OIFNAME, "eth0", leaves)):
        base = chain("base", (Compare(field, Op.EQ, name), Drop()), hook=Hook("filter", hook, 0))
        assert (run(base, through=(hook,)).end is End.DROP) is has


@pytest.mark.parametrize("op", list(Op))
@pytest.mark.parametrize(
    ("packet", "match"),
    [
        (PACKET6, (Field.IP_SADDR, ip_address("10.1.0.1"))),
        (PACKET6, (Field.IP_DADDR, ip_network("10.0.0.0/8"))),
        (PACKET, (Field.IP6_SADDR, ip_address("fd00::1"))),
        (PACKET, (Field.ICMP_TYPE, 8)),
        (replace(PACKET6, protocol=1, icmp_type=8), (Field.ICMP_TYPE, 8)),
        (replace(PACKET, protocol=58, icmp_type=128), (Field.ICMPV6_TYPE, 128)),
        (replace(PACKET, source_port=None), (Field.SPORT, 40000)),
        (replace(PACKET, ct_state="invalid"), (Field.CT_DIRECTION, "original")),
        (replace(PACKET, ct_state="untracked"), (Field.CT_MARK, 0)),
    ],
)
def test_a_field_that_is_not_there_matches_nothing(packet, match, op):
    field, value = match
    assert run(chain("base", (Compare(field, op, value), Drop()), hook=FORWARD), packet=packet).end is End.ACCEPT


def test_a_set_is_not_asked_for_a_field_that_is_not_there():
    shape = Set(name="s", key=(KeyType.IFNAME, KeyType.IPV4))
    for negated in (False, True):
        base = chain("base", (Lookup((Field.IIFNAME, Field.IP_SADDR), "s", negated), Drop()), hook=FORWARD)
        assert run(base, sets=[shape], packet=PACKET6).end is End.ACCEPT


MATCHES = [
    (Compare(Field.IIFNAME, Op.EQ, "cali*"), True),
    (Compare(Field.IIFNAME, Op.EQ, "cal"), False),
    (Compare(Field.NFPROTO, Op.EQ, "ipv4"), True),
    (Compare(Field.IP_DADDR, Op.EQ, ip_network("10.2.0.0/16")), True),
    (Compare(Field.DPORT, Op.EQ, Range(440, 443)), True),
    (Compare(Field.DPORT, Op.EQ, Range(444, 450)), False),
    (Compare(Field.CT_STATE, Op.EQ, "established,new"), True),
    (Compare(Field.CT_STATE, Op.EQ, "established,related"), False),
    (MarkBits(0xF, Op.EQ, 0x5), True),
    (MarkBits(0xF, Op.EQ, 0x15), False),
]


@pytest.mark.parametrize(("match", "holds"), MATCHES, ids=str)
def test_matches_and_their_opposites(match, holds):
    packet = replace(PACKET, mark=0x35)
    for op in Op:
        base = chain("base", (replace(match, op=op), Drop()), hook=FORWARD)
        assert (run(base, packet=packet).end is End.DROP) is (holds is (op is Op.EQ))


def test_a_source_without_a_way_back_is_told():
    base = chain("base", (ReversePathMissing(), Drop()), hook=Hook("filter", "prerouting", -300))
    assert run(base).end is End.ACCEPT
    assert run(base, packet=replace(PACKET, has_reverse_path=False)).end is End.DROP


@pytest.mark.parametrize(
    ("match", "packet", "holds"),
    [
        (SentByHost(), {"iif": ""}, True),
        (SentByHost(), {}, False),
        (DestinationTranslated(), {"is_translated": True}, True),
        (DestinationTranslated(), {}, False),
        (DestinationTranslated(negated=True), {}, True),
        (DestinationTranslated(), {"is_translated": True, "ct_state": "untracked"}, False),
        (DestinationTranslated(negated=True), {"ct_state": "untracked"}, False),
        (MidStream(), {"is_syn": False}, True),
        (MidStream(), {}, False),
        (MidStream(), {"is_syn": False, "protocol": 17}, False),
    ],
)
def test_what_a_packet_says_of_its_way_is_told(match, packet, holds):
    base = chain("base", (match, Drop()), hook=FORWARD)
    assert (run(base, packet=replace(PACKET, **packet)).end is End.DROP) is holds


def test_only_the_base_chains_that_are_named_are_met():
    both = table(chain("first", (Drop(),), hook=FORWARD), chain("second", (Counter(),), hook=FORWARD))
    outcome = Simulator(both).run(PACKET, ("forward",), only=("second",))
    assert outcome.end is End.ACCEPT
    assert {step.chain for step in outcome.trace} == {"second"}


def test_limits_let_go_on():
    shape = Set(name="rates", key=(KeyType.IPV4,), has_timeout=True, is_dynamic=True)
    per = RateLimitPer("rates", (Field.IP_SADDR,), 1, "hour", 1)
    base = chain("base", (RateLimit(1, "hour", 0), per, Drop()), hook=FORWARD)
    assert run(base, sets=[shape]).end is End.DROP
    assert run(base, sets=[shape], packet=PACKET6).end is End.ACCEPT


def test_limits_are_never_reached():
    for beyond in (RateLimit(1, "hour", 0, is_over=True), ConnectionsOver(1)):
        assert run(chain("base", (beyond, Drop()), hook=FORWARD)).end is End.ACCEPT


def test_conntrack_is_not_seen_before_it_has_seen_the_packet():
    early = chain(
        "early", (Compare(Field.CT_STATE, Op.EQ, "invalid"), Counter()), hook=Hook("filter", "prerouting", -300)
    )
    late = chain("late", (Compare(Field.CT_STATE, Op.EQ, "new"), Drop()), hook=Hook("filter", "prerouting", -150))
    assert steps(run(early, late)) == [("early", 0), ("early", -1), ("late", 0)]


def test_notrack_comes_in_time_or_too_late():
    untracked = chain("seen", (Compare(Field.CT_STATE, Op.EQ, "untracked"), Drop()), hook=FORWARD)
    for priority, end in ((-300, End.DROP), (-150, End.ACCEPT)):
        assert run(chain("raw", NoTrack(), hook=Hook("filter", "prerouting", priority)), untracked).end is end


# --- sets and maps ------------------------------------------------------------------------------------------------


@given(
    st.frozensets(
        st.integers(0, 255).flatmap(lambda n: st.integers(0, 8).map(lambda s: (n >> s << s, 32 - s))), max_size=8
    ),
    st.integers(0, 255),
)
def test_an_interval_set_holds_what_its_networks_hold(nets, number):
    shape = Set(name="s", key=(KeyType.IPV4,), is_interval=True)
    networks = [ip_network((0x0A000000 + base, length)) for base, length in nets]
    address = ip_address(0x0A000000 + number)
    base = chain("base", (Lookup((Field.IP_SADDR,), "s"), Drop()), hook=FORWARD)
    outcome = run(
        base,
        sets=[shape],
        elements={"s": frozenset((net,) for net in networks)},
        packet=replace(PACKET, source=address),
    )
    assert (outcome.end is End.DROP) is any(address in net for net in networks)


def test_an_interval_set_of_several_fields_holds_their_product():
    shape = Set(name="s", key=(KeyType.IPV4, KeyType.PORT), is_interval=True)
    base = chain("base", (Lookup((Field.IP_DADDR, Field.DPORT), "s"), Drop()), hook=FORWARD)
    elements = {"s": frozenset({(ip_network("10.2.0.0/24"), 443), (ip_address("10.9.0.1"), 80)})}
    assert run(base, sets=[shape], elements=elements).end is End.DROP
    assert run(base, sets=[shape], elements=elements, packet=replace(PACKET, destination_port=80)).end is End.ACCEPT


def test_learned_elements_are_given_with_the_table():
    shape = Set(name="d4", key=(KeyType.IPV4, KeyType.IPV4), has_timeout=True, is_learned=True)
    base = chain("base", (Lookup((Field.IP_SADDR, Field.IP_DADDR), "d4"), Accept()), Drop(), hook=FORWARD)
    wanted = table(base, sets=[shape])
    assert Simulator(wanted).run(PACKET, ("forward",)).end is End.DROP
    pairs = {(PACKET.source, PACKET.destination)}
    assert Simulator(wanted, {"d4": pairs}).run(PACKET, ("forward",)).end is End.ACCEPT


def test_a_map_decides_or_lets_go_on():
    mapping = VerdictMapping(name="m", key=(KeyType.PROTOCOL, KeyType.PORT))
    base = chain("base", VerdictMap((Field.L4PROTO, Field.DPORT), "m"), Drop(), hook=FORWARD)
    parts = {"maps": [mapping], "verdicts": {"m": {(6, 443): Accept(), (6, 80): Jump("inner")}}}
    inner = chain("inner", Counter())
    assert steps(run(base, inner, **parts)) == [("base", 0)]
    http = replace(PACKET, destination_port=80)
    assert steps(run(base, inner, packet=http, **parts)) == [("base", 0), ("inner", 0), ("base", 1)]
    dns = replace(PACKET, destination_port=53)
    assert steps(run(base, inner, packet=dns, **parts)) == [("base", 1)]


# --- user space ---------------------------------------------------------------------------------------------------

HELD = [
    chain("base", (MarkBits(0x20000, Op.EQ, 0), Goto("held")), Drop(), hook=FORWARD),
    chain("held", Queue(100)),
    chain("later", Counter(), hook=replace(FORWARD, priority=1)),
]


def test_without_a_listener_the_run_ends_in_the_queue():
    outcome = run(*HELD)
    assert (outcome.end, outcome.queue) == (End.QUEUE, 100)


def test_a_queue_without_listener_drops_and_with_bypass_goes_on_behind_its_base_chain():
    assert run(*HELD, listener=lambda queue, mark: None).end is End.DROP
    bypass = [HELD[0], chain("held", Queue(100, bypass=True)), HELD[2]]
    assert steps(run(*bypass, listener=lambda queue, mark: None))[-2:] == [("later", 0), ("later", -1)]


def test_what_user_space_accepts_goes_on_behind_the_base_chain():
    outcome = run(*HELD, listener=lambda queue, mark: Answered(Answer.ACCEPT, mark | 1))
    assert (outcome.end, outcome.mark, outcome.queue) == (End.ACCEPT, 1, 100)
    assert steps(outcome) == [("base", 0), ("held", 0), ("later", 0), ("later", -1)]
    assert run(*HELD, listener=lambda queue, mark: Answered(Answer.DROP)).end is End.DROP


def test_a_repeated_packet_meets_its_base_chain_from_the_first_rule():
    outcome = run(*HELD, listener=lambda queue, mark: Answered(Answer.REPEAT, mark | 0x20000))
    assert (outcome.end, steps(outcome)) == (End.DROP, [("base", 0), ("held", 0), ("base", 1)])


def test_a_packet_that_is_repeated_without_a_mark_is_found_out():
    with pytest.raises(SimulationError, match="for ever"):
        run(*HELD, listener=lambda queue, mark: Answered(Answer.REPEAT))


# --- against another way to write it ------------------------------------------------------------------------------


def by_stack(table, packet, name):
    """One base chain as the kernel walks it: with a stack of where jumps come back to, and no recursion."""
    run = Run(packet, 0, oif=packet.oif, ct_state=packet.ct_state)
    sets = {shape.name: holds(shape, table) for shape in table.sets.values()}
    stack, place, visited = [], (name, 0), []
    while True:
        current, index = place
        if index == len(table.chains[current].rules):
            if not stack:
                return None, visited
            place = stack.pop()
            continue
        place = (current, index + 1)
        rule = table.chains[current].rules[index]
        *before, last = rule.statements
        if not isinstance(last, Accept | Drop | Reject | Return | Jump | Goto | VerdictMap):
            before, last = rule.statements, None
        if not all(make_test(each, sets)(run) for each in before):
            continue
        if isinstance(last, VerdictMap):
            last = table.verdicts[last.map_name].get(key_of(tuple(map(reader, last.fields)), run))
            if last is None:
                continue
        visited.append((current, index))
        match last:
            case Jump(chain=onward):
                stack.append(place)
                place = (onward, 0)
            case Goto(chain=onward):
                place = (onward, 0)
            case Return():
                place = (current, len(table.chains[current].rules))
            case Accept() | Drop() | Reject():
                return last, visited


def holds(shape, table):
    """A set as a list of what it holds."""
    keys = table.elements.get(shape.name, frozenset())
    return lambda key: any(
        all(value == part or within(value, part) for value, part in zip(key, each, strict=True)) for each in keys
    )


def within(value, part):
    return hasattr(part, "network_address") and value in part


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(mazes(), st.lists(packets(), min_size=5, max_size=10))
def test_recursion_says_what_a_stack_says(maze, some):
    simulator = Simulator(maze)
    for packet in some:
        hook = hooks(packet)[-1]
        first = min(
            (each for each in maze.chains.values() if each.hook and each.hook.hook == hook),
            key=lambda each: each.hook.priority,
        )
        verdict, visited = by_stack(maze, packet, first.name)
        found = [step for step in steps(simulator.run(packet, (hook,))) if step[1] >= 0]
        assert found[: len(visited)] == visited
        if verdict is not None and not isinstance(verdict, Accept):
            assert found == visited
