"""The graph's output is a function of the present documents, whatever came before: written sequences, expanded."""

import pytest

from policy.evaluate import World
from policy.graph import CalcGraph
from policy.resources.metadata import ResourceKey
from tests.policy.graph.checks import CheckedGraph, fresh, leftovers
from tests.policy.graph.expand import FLUSHES, deletions, expansions
from tests.policy.graph.states import NS, SEQUENCES, TO_B, A, all_of

SEQUENCE = pytest.mark.parametrize("states", SEQUENCES.values(), ids=SEQUENCES.keys())
NOTHING = leftovers(CheckedGraph().graph)


@pytest.mark.parametrize("flushes", FLUSHES)
@SEQUENCE
def test_every_expansion_of_a_sequence_ends_as_a_fresh_graph(states, flushes):
    for _, sequence in expansions(states):
        flushes(CheckedGraph(), sequence)


@SEQUENCE
def test_anything_may_go_while_others_refer_to_it_and_come_back(states):
    for state in states:
        graph = CheckedGraph()
        for key, resource in state.items():
            graph.update(key, resource)
        graph.flush()
        for key, resource in state.items():
            graph.update(key, None)
            graph.flush()
            graph.update(key, resource)
            graph.flush()


@pytest.mark.parametrize("does_flush", [True, False])
@SEQUENCE
def test_a_state_may_be_taken_apart_in_any_order(states, does_flush):
    for state in states:
        for order in deletions(state):
            graph = CheckedGraph()
            for key, resource in state.items():
                graph.update(key, resource)
            graph.flush()
            for key in order:
                graph.update(key, None)
                if does_flush:
                    graph.flush()
            graph.flush()
            assert leftovers(graph.graph) == NOTHING


@SEQUENCE
def test_what_comes_and_goes_between_two_flushes_is_not_told(states):
    graph = CheckedGraph()
    for key, resource in states[0].items():
        graph.update(key, resource)
    graph.flush()
    for state in states[1:]:
        for key, resource in state.items():
            graph.update(key, resource)
        for key in state:
            graph.update(key, states[0].get(key))
        assert graph.flush() == []


@SEQUENCE
def test_order_of_events_is_that_of_keys_not_of_history(states):
    for state in states:
        forwards, backwards = CheckedGraph(), CheckedGraph()
        for key, resource in state.items():
            forwards.update(key, resource)
        for key, resource in reversed(list(state.items())):
            backwards.update(key, resource)
        assert forwards.flush() == backwards.flush()


def test_nothing_is_given_out_before_the_sources_are_in_sync():
    graph = CalcGraph("node-1")
    for resource in (NS, A, TO_B):
        graph.on_update(resource.key, resource)
    assert graph.flush() == []
    graph.in_sync()
    assert graph.flush()


def test_an_interface_found_by_route_stands_before_the_documents_and_outlives_the_endpoint():
    graph = CalcGraph("node-1")
    graph.in_sync()
    graph.on_interface("ns/a", "veth0")
    for resource in (NS, A):
        graph.on_update(resource.key, resource)
    names = [event.endpoint.endpoint.interface_name for event in graph.flush() if hasattr(event, "endpoint")]
    graph.on_interface("ns/a", None)
    names += [event.endpoint.endpoint.interface_name for event in graph.flush()]
    assert names == ["veth0", ""]


def test_a_document_under_the_key_of_another_kind_is_a_mistake_of_ours():
    with pytest.raises(TypeError):
        CalcGraph("node-1").on_update(A.key, NS)


def test_kinds_that_are_not_about_workloads_change_nothing():
    graph = CheckedGraph()
    graph.update(ResourceKey("HostEndpoint", "", "eth0"), None)
    assert graph.flush() == []


def test_states_of_other_nodes_have_no_endpoints_of_ours():
    assert fresh(all_of(A, TO_B), node="node-2") == fresh({})


@SEQUENCE
def test_local_endpoints_are_those_of_the_reference(states):
    for state in states:
        wanted = {holder.endpoint for holder in World(state.values()).endpoints if holder.node == "node-1"}
        assert fresh(state).endpoints.keys() == wanted
