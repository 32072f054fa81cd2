"""Random small tables: every kind of statement, chains that lead to chains, sets of every shape.

Chains lead forward only, so there are no circles. Each rule counts where it has matched, under a comment that says
where it stands; so the kernel's counters are the trace of a packet.
"""

from collections import Counter as Multiset

from hypothesis import strategies as st

from nft.expr import (
    Accept,
    Counter,
    Drop,
    Field,
    Goto,
    Jump,
    KeyType,
    LogToGroup,
    MarkBits,
    NoTrack,
    Op,
    RateLimit,
    RateLimitPer,
    Reject,
    Return,
    ReversePathMissing,
    SetMark,
    VerdictMap,
)
from nft.model import Chain, Hook, Rule, Set, Table, VerdictMapping
from tests.nft.crossing import (
    COMPARISONS,
    DESTINATIONS,
    INTERVALS,
    LOOKUPS,
    PROTOCOLS,
    SETS,
    SHAPES,
    SOURCES,
    START,
    VALUES,
    first_packet,
    networks,
)

RATES = Set(name="rates", key=(KeyType.IFNAME,), has_timeout=True, is_dynamic=True, size=100)
MAPS = {"by-name": (Field.IIFNAME,), "by-service": (Field.L4PROTO, Field.DPORT), "by-source": (Field.IP_SADDR,)}
REGULAR = ("c1", "c2", "c3", "c4", "c5")
BASES = {
    "prerouting": (-300, -150),
    "forward": (0, 5),
    "input": (-1, 0),
}
"""Priorities by hook; the last chain of each hook, which counts what arrives there, comes beside."""

bits = st.integers(0, 3)
ports = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def packets(draw):
    """The first packet of a connection."""
    version = draw(st.sampled_from([4, 6]))
    ends = (draw(st.sampled_from(each[version])) for each in (SOURCES, DESTINATIONS))
    return first_packet(*ends, draw(st.sampled_from(PROTOCOLS)), draw(ports), draw(st.sampled_from(["tga0", "tga1"])))


# --- rules -------------------------------------------------------------------------------------------------------

matches = (
    st.sampled_from(COMPARISONS)
    | st.sampled_from(LOOKUPS)
    | st.builds(MarkBits, bits, st.sampled_from(list(Op)), bits)
    | st.just(ReversePathMissing())
)
going_on = st.builds(lambda mask, value: SetMark(mask, value & mask), bits, bits) | st.sampled_from(
    [
        LogToGroup(7, "x", 64),
        RateLimit(1_000_000, "second", 1000),
        RateLimit(1_000_000, "second", 1000, is_over=True),
        RateLimitPer("rates", (Field.IIFNAME,), 1_000_000, "second", 1000),
    ]
)


def verdicts(onward):
    """Verdicts of rules and maps, to the chains further on."""
    simple = st.sampled_from([Accept(), Accept(), Drop(), Return()])
    return simple | st.sampled_from([kind(name) for kind in (Jump, Goto) for name in onward]) if onward else simple


@st.composite
def rules(draw, name, onward, maps=tuple(MAPS), before=()):
    found = []
    for index in range(draw(st.integers(1, 4))):
        conditions = draw(st.lists(st.one_of(matches, going_on, *before), max_size=3))
        last = draw(
            st.none() | verdicts(onward) | st.sampled_from([Reject(), *(VerdictMap(MAPS[each], each) for each in maps)])
        )
        found.append(Rule(speakable([*conditions, Counter(), *([last] if last else [])]), f"{name}:{index}"))
    return tuple(found)


SIGNS = {
    Field.NFPROTO: {"network": "any"},
    Field.IP_SADDR: {"network": "ip"},
    Field.IP_DADDR: {"network": "ip"},
    Field.IP6_SADDR: {"network": "ip6"},
    Field.IP6_DADDR: {"network": "ip6"},
    Field.L4PROTO: {"transport": "any"},
    Field.SPORT: {"transport": "th"},
    Field.DPORT: {"transport": "th"},
    Field.ICMP_TYPE: {"network": "ip", "transport": "icmp"},
    Field.ICMP_CODE: {"network": "ip", "transport": "icmp"},
    Field.ICMPV6_TYPE: {"network": "ip6", "transport": "icmpv6"},
    Field.ICMPV6_CODE: {"network": "ip6", "transport": "icmpv6"},
}
"""What protocol of which layer a field is a sign of."""


def speakable(statements):
    """Without what nft refuses beside another: a rule that asks for two protocols of one layer can never match."""
    spoken, kept = {}, []
    for statement in statements:
        fields = getattr(statement, "fields", None) or (getattr(statement, "field", None),)
        wanted = [sign for field in fields for sign in SIGNS.get(field, {}).items()]
        if all(spoken.get(layer, protocol) == protocol for layer, protocol in wanted):
            spoken |= dict(wanted)
            kept.append(statement)
    return tuple(kept)


# --- tables ------------------------------------------------------------------------------------------------------


@st.composite
def mazes(draw):
    """A table, of which nothing is left out in the kernel but queues."""
    chains = [  # maps lead to the last two, which therefore must not look into maps
        Chain(name, draw(rules(name, REGULAR[index + 1 :], tuple(MAPS) if index < 3 else ())))
        for index, name in enumerate(REGULAR)
    ]
    for hook, priorities in BASES.items():
        for priority in priorities:
            name, policy = f"{hook}-{priority + 500}", draw(st.sampled_from(["accept", "accept", "drop"]))
            before = [st.just(NoTrack())] if hook == "prerouting" else []
            found = draw(rules(name, REGULAR, before=before))
            chains.append(Chain(name, found, Hook("filter", hook, priority, policy)))
        chains.append(Chain(f"{hook}-end", (Rule((Counter(),), f"{hook}-end:0"),), Hook("filter", hook, 900)))
    return Table(
        name="tg",
        chains={chain.name: chain for chain in draw(st.permutations([START, *chains]))},
        sets={**SHAPES, "rates": RATES},
        elements={name: draw(elements(name)) for name in SETS},
        maps={name: VerdictMapping(name=name, key=tuple(field.type for field in MAPS[name])) for name in MAPS},
        verdicts={
            name: draw(st.dictionaries(st.tuples(*map(values, fields)), verdicts(REGULAR[3:]), max_size=4))
            for name, fields in MAPS.items()
        },
    )


def values(field):
    return st.sampled_from(VALUES[field.type])


def elements(name):
    """Keys of a set; those of interval sets do not overlap."""
    first, *others = SETS[name]
    heads = st.sampled_from(networks(INTERVALS[name])) if name in INTERVALS else values(first)
    return st.frozensets(st.tuples(heads, *map(values, others)), max_size=5)


def counted(outcome, table):
    """The rules that must have counted the packet, but for maps: where one lacks the key, its rule counts nevertheless."""
    steps = [step for step in outcome.trace if step.index >= 0]
    return Multiset(step.comment for step in steps if not ends_in_map(table.chains[step.chain].rules[step.index]))


def ends_in_map(rule):
    return isinstance(rule.statements[-1], VerdictMap)
