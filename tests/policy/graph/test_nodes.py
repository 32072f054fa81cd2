"""Single nodes of the graph against models of what they do, and what they promise alone."""

from collections import Counter
from ipaddress import IPv4Network, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from policy.graph.items import Contribution, exchanged
from policy.graph.matching import SelectorIndex
from policy.graph.members import NetMembers
from policy.rules import IPSetUpdated
from policy.selectors import parse
from tests.policy.documents import namespace, network_set, pod, policy
from tests.policy.graph.checks import CheckedGraph

# --- Networks that nest ---

NETS = st.builds(
    lambda bits, length: IPv4Network((bits << 28, length), strict=False),
    st.integers(0, 15),
    st.integers(0, 4),
) | st.builds(
    lambda bits, length: ip_network((bits << 125, length), strict=False), st.integers(0, 7), st.integers(1, 3)
)


def outermost(nets):
    """Everything split in two, then whatever no other contains."""
    halves = {half for net in nets for half in (net.subnets() if net.prefixlen == 0 else [net])}
    return {
        net
        for net in halves
        if not any(other != net and other.version == net.version and net.subnet_of(other) for other in halves)
    }


@given(st.lists(st.tuples(NETS, st.booleans()), max_size=40), st.integers(1, 5))
@settings(deadline=None)
def test_members_are_the_outermost_networks_and_differences_add_up(changes, flush_every):
    members, counts, told = NetMembers(), Counter(), set()
    for number, (net, adds) in enumerate(changes):
        if adds:
            counts[net] += 1
            members.add(Contribution((net,)))
        elif counts[net]:
            counts[net] -= 1
            members.discard(Contribution((net,)))
        if number % flush_every == 0:
            added, removed = members.difference.take()
            assert not added & told
            assert removed <= told
            told = (told - removed) | added
            assert told == outermost(+counts)


@given(*[st.lists(NETS, unique=True, max_size=6).map(tuple)] * 2, *[st.lists(st.sampled_from("ab"), unique=True)] * 2)
def test_an_exchange_loses_what_is_gone_and_gains_what_is_new(before, after, names_before, names_after):
    old, new = Contribution(before, (), tuple(names_before)), Contribution(after, (), tuple(names_after))
    lost, gained = exchanged(old, new)
    assert (set(before) - set(lost.nets)) | set(gained.nets) == set(after)
    assert not set(lost.nets) & set(gained.nets)
    assert (set(names_before) - set(lost.domains)) | set(gained.domains) == set(names_after)


# --- Selectors and items ---

SELECTORS = [
    parse(text)
    for text in (
        "all()",
        "a == 'x'",
        "a == 'y'",
        "a in {'x', 'y'}",
        "a in {}",
        "has(a)",
        "!has(a)",
        "a != 'x'",
        "has(a) && b == 'x'",
        "a == 'x' || b == 'x'",
        "a == 'x' || has(b)",
        "a contains 'x' && projectcalico.org/namespace == 'n'",
        "projectcalico.org/namespace == 'n'",
    )
]
LABELS = st.dictionaries(st.sampled_from(["a", "b", "projectcalico.org/namespace"]), st.sampled_from(["x", "y", "n"]))


@given(
    st.lists(
        st.tuples(st.just("item"), st.integers(0, 3), st.none() | LABELS)
        | st.tuples(st.just("selector"), st.sampled_from(SELECTORS), st.booleans()),
        max_size=40,
    )
)
@settings(deadline=None)
def test_index_knows_the_matches_and_tells_every_change(changes):
    index, items, known, told = SelectorIndex(), {}, set(), set()
    for what, which, value in changes:
        if what == "item":
            for change in index.on_labels(which, value):
                pair = (change.selector, change.item)
                assert (pair in told) is not change.is_match
                (told.add if change.is_match else told.discard)(pair)
            items.pop(which, None)
            if value is not None:
                items[which] = value
        elif value and which not in known:
            known.add(which)
            told |= {(which, item) for item in index.add(which)}
        elif not value and which in known:
            known.discard(which)
            index.discard(which)
            told = {pair for pair in told if pair[0] != which}
        wanted = {(selector, item) for selector in known for item in items if selector.matches(items[item])}
        assert told == wanted
        assert {(selector, item) for selector in known for item in index.items_of(selector)} == wanted
        assert {(selector, item) for item in items for selector in index.selectors_of(item)} == wanted


# --- Domain sets ---


def test_network_sets_names_follow_the_flavour_of_the_policy_and_a_rule_has_no_set_without_names():
    graph = CheckedGraph()

    def told():
        graph.flush()
        return [sorted(domain_set.patterns) for domain_set in graph.state.domain_sets.values()]

    made = policy(
        namespace="",
        egress=[{"action": "Allow", "destination": {"selector": "kind == 'out'"}}],
        annotations={"dns.tidegate.io/wildcard": "single-label"},
    )
    named = network_set("out", labels={"kind": "out"}, domains=["*.x.test", "y.test"])
    for resource in (namespace(), pod("a", "10.0.0.1"), made):
        graph.update(resource.key, resource)
    assert told() == []
    graph.update(named.key, named)
    assert told() == [["*{1}.x.test", "y.test"]]
    nameless = network_set("out", labels={"kind": "out"}, nets=["192.0.2.1"])
    graph.update(nameless.key, nameless)
    assert told() == []


def test_one_changed_network_of_a_large_set_is_told_as_one():
    graph = CheckedGraph()
    made = policy(namespace="", egress=[{"action": "Allow", "destination": {"selector": "kind == 'out'"}}])
    nets = [f"10.{high}.{low}.0/24" for high in range(4) for low in range(100)]
    for nets_now in (nets, [*nets[1:], "192.0.2.0/24"]):
        large = network_set("out", labels={"kind": "out"}, nets=nets_now)
        for resource in (namespace(), pod("a", "10.9.0.1"), made, large):
            graph.update(resource.key, resource)
        events = graph.flush()
    (event,) = events
    assert isinstance(event, IPSetUpdated)
    assert (len(event.added), len(event.removed)) == (1, 1)
