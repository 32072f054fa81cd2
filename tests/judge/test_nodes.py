"""Nodes from resources at rest."""

from policy.resources.decode import decode
from tests.oracles.documents import resource
from tidegate.judge.nodes import interface_of_pod, node_names, node_state


def pod(name, node):
    made = resource("Pod", name, {"nodeName": node, "containers": []}, namespace="prod")
    return decode(made | {"status": {"podIPs": [{"ip": "10.65.0.2"}]}})


def test_each_node_has_its_own_workloads():
    resources = [pod("a", "node1"), pod("b", "node2")]
    assert node_names(resources) == {"node1", "node2"}
    assert list(node_state(resources, "node1").endpoints) == ["prod/a"]
    assert not node_state(resources, "node3").endpoints


def test_a_pod_has_the_interface_that_calico_would_give_it():
    (known,) = node_state([pod("a", "node1")], "node1").endpoints.values()
    assert known.endpoint.interface_name == interface_of_pod(known.endpoint.id) == "cali850cb1f0404"
