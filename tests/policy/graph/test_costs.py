"""What a change costs depends on what it touches. Counted in calls, so that a busy machine changes nothing."""

import sys

import pytest

from policy.graph import CalcGraph
from tests.policy.documents import namespace, network_set, pod, policy

SMALL, LARGE = 50, 500


def rule(app):
    return {"action": "Allow", "protocol": "TCP", "destination": {"selector": f"app == '{app}'", "ports": ["http"]}}


def made_policy(number, target="app1"):
    return policy(f"p{number}", selector=f"app == 'app{number}'", order=number, egress=[rule(target)])


def made_pod(number, node="node-2", app="app1"):
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return pod(f"r{number}", address, labels={"app": app}, node=node, ports=[("http", "TCP", 80)])


def graph_of(policies, pods):
    """All policies act on a local pod of their own and name one app, which ten remote pods have."""
    graph = CalcGraph("node-1")
    resources = [namespace(), *(made_policy(number) for number in range(2, policies + 2))]
    resources += [made_pod(number, node="node-1", app=f"app{number}") for number in range(2, policies + 2)]
    resources += [made_pod(20_000 + number, app=f"other{number}") for number in range(pods)]
    resources += [made_pod(10_000 + number) for number in range(10)]
    for resource in resources:
        graph.on_update(resource.key, resource)
    graph.in_sync()
    graph.flush()
    return graph


def calls_of(graph, key, resource):
    count = 0

    def counted(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        graph.on_update(key, resource)
        events = graph.flush()
    finally:
        sys.setprofile(None)
    assert events
    return count


CHANGES = {
    "a policy's rules": made_policy(5, target="app2"),
    "a policy's selector": policy("p5", selector="app == 'app6'", order=5, egress=[rule("app1")]),
    "a new policy": policy("new", selector="app == 'app5'", egress=[rule("app7")]),
    "a remote pod's labels": made_pod(10_003, app="elsewhere"),
    "a new remote pod": made_pod(30_000),
    "a local pod's labels": made_pod(5, node="node-1", app="app8"),
    "a new local pod": made_pod(30_001, node="node-1", app="app9"),
    "a network set": network_set("s", namespace="ns", labels={"app": "app1"}, nets=["192.0.2.0/24"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_ten_times_more_policies_and_pods_do_not_make_a_change_dearer(change):
    small = calls_of(graph_of(SMALL, SMALL), change.key, change)
    large = calls_of(graph_of(LARGE, LARGE), change.key, change)
    assert large < 1.2 * small + 50


def test_one_policy_that_moves_among_hundreds_shared_by_many_endpoints_is_one_sort():
    def graph_with(endpoints):
        graph = CalcGraph("node-1")
        policies = [policy(f"p{number}", order=number, egress=[rule("app1")]) for number in range(200)]
        for resource in [namespace(), *policies, *(made_pod(number, "node-1") for number in range(endpoints))]:
            graph.on_update(resource.key, resource)
        graph.in_sync()
        graph.flush()
        return graph

    moved = policy("p5", order=1e9, egress=[rule("app1")])
    few, many = (calls_of(graph_with(endpoints), moved.key, moved) for endpoints in (2, 20))
    assert many < 2 * few
