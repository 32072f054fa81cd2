"""How a table grows: by its policies, and not by whom they select."""

from itertools import pairwise

import pytest

from policy.rules import IPSetKind
from tests.policy.documents import endpoint_slice, network_set, pod, policy
from tidegate.judge.nodes import node_state
from tidegate.render import RenderSettings, render_table

POD = pod("a", "10.0.0.1 fd00::1", labels={"app": "a"})
MANY = 20_000


def state_of(resources):
    return node_state(resources, "node-1")


def size_of(count):
    """Rules and sets of a node whose pod is under so many policies, each with selectors, ports and names of its own."""
    policies = [
        policy(
            f"p{index}",
            selector="app == 'a'",
            ingress=[{"action": "Allow", "source": {"selector": f"app == 'a' || role == 'r{index}'"}}],
            egress=[
                {"action": "Deny", "protocol": "TCP", "destination": {"ports": [index + 1, "http"]}},
                {"action": "Allow", "destination": {"domains": [f"n{index}.example.com"]}},
                {"action": "Allow", "destination": {"services": {"name": f"s{index}"}}},
            ],
        )
        for index in range(count)
    ]
    table = render_table(state_of([POD, *policies]), RenderSettings())
    return sum(len(chain.rules) for chain in table.chains.values()), len(table.sets)


def test_rules_and_sets_grow_by_as_much_for_each_policy():
    sizes = [size_of(count) for count in (20, 40, 80)]
    first, second = (tuple(after - before for before, after in zip(*pair, strict=True)) for pair in pairwise(sizes))
    assert second == tuple(2 * growth for growth in first)
    assert first[0] > 0
    assert first[1] > 0


@pytest.mark.parametrize("source", ["one network set", "slices of a service"])
def test_a_rule_about_many_addresses_is_one_set_of_a_family(source):
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(MANY)]
    if source == "one network set":
        about = {"selector": "kind == 'many'"}
        holders = [network_set("many", namespace="ns", labels={"kind": "many"}, nets=addresses)]
    else:
        about = {"services": {"name": "web"}}
        holders = [endpoint_slice(f"s{at}", " ".join(addresses[at : at + 1000])) for at in range(0, MANY, 1000)]
    rules = [{"action": "Allow", "source": about}, {"action": "Allow", "protocol": "TCP", "source": about}]
    state = state_of([POD, policy("p", selector="app == 'a'", ingress=rules), *holders])
    [(kind, members)] = state.ip_sets.values()
    assert (kind, len(members)) == (IPSetKind.NETS, MANY)
    few = state_of([POD, policy("p", selector="app == 'a'", ingress=rules)])
    table, empty = render_table(state, RenderSettings()), render_table(few, RenderSettings())
    assert len(table.sets) == len(empty.sets)
    assert len(table.chains) == len(empty.chains)
    assert max(map(len, table.elements.values())) == MANY
    assert sum(map(len, table.elements.values())) < MANY + 100
