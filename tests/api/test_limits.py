"""Limits as the API shows them: those in force, with what their rules counted."""

from nft.counts import Count
from policy.limits import Limits, Rate, TrafficLimits
from policy.rules import Direction
from tests.render.states import endpoint, state
from tidegate.api import documents
from tidegate.api.limits import counting_chains, full_sets, limits
from tidegate.render import RenderSettings, names, render_table
from tidegate.render.names import LimitKind

STATE = state(
    endpoints=(
        endpoint("a", limits=TrafficLimits(egress=Limits(packets=Rate(9, 3), max_connections=7))),
        endpoint("b", interface="", limits=TrafficLimits(egress=Limits(max_connections=7))),
    )
)
SETTINGS = RenderSettings(ingress_connections_per_second=50)


def test_each_limit_in_force_is_shown_with_what_was_beyond_it():
    counts = {names.limit_comment("prod/a", Direction.EGRESS, LimitKind.PACKETS): Count(5, 300)}
    found = [
        (item.endpoint, item.name, item.limit, item.burst, item.dropped) for item in limits(STATE, SETTINGS, counts)
    ]
    assert sorted(found) == [
        ("prod/a", "egressMaxConnections", 7, None, 0),
        ("prod/a", "egressPacketRate", 9, 3, 5),
        ("prod/a", "ingressConnectionRate", 50, 50, 0),
    ]


def test_an_endpoint_shows_its_own_limits():
    first, second = documents.endpoints(STATE, limits(STATE, SETTINGS, {}))
    assert {item["name"] for item in first["limits"]} == {
        "egressMaxConnections", "egressPacketRate", "ingressConnectionRate",
    }  # fmt: skip
    assert second["limits"] == []


def test_every_chain_that_counts_is_in_the_table_and_none_is_forgotten():
    table = render_table(STATE, SETTINGS)
    asked = set(counting_chains(STATE, SETTINGS))
    comments = ("limit ", names.HELD_RATE_FULL, names.TCP_RATE_FULL)
    counting = {
        chain.name for chain in table.chains.values() if any(rule.comment.startswith(comments) for rule in chain.rules)
    }
    assert counting == asked - {names.DROP_EGRESS}  # there where denied packets are rejected


def test_a_full_set_is_shown_by_its_name():
    assert full_sets({names.TCP_RATE_FULL: Count(6, 360)}) == {"held-rate": 0, "tcp-rate": 6}
