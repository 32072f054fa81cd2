"""Keys of WireGuard at Nodes: what the agent writes, and what its account may not."""

import asyncio
import json

import pytest

from reconcile.clock import SystemClock
from tests.kube.cluster import running
from tests.kube.conftest import ROOT
from tidegate.agent.key_publisher import ClusterKeys, PublishError
from tidegate.store.kube.connection import Connection
from tidegate.store.kube.errors import KubeError

pytestmark = [pytest.mark.kernel, pytest.mark.kube, pytest.mark.timeout(120)]
KEYS = ("projectcalico.org/WireguardPublicKey", "projectcalico.org/WireguardPublicKeyV6")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory, pytestconfig):
    """A cluster of two nodes with the role, and the agent's kubeconfig on the first of them."""
    with running(tmp_path_factory.mktemp("keys")) as cluster:
        cluster.kubectl("apply", "-f", str(pytestconfig.rootpath / ROOT / "tidegate.yaml"))
        cluster.kubectl("apply", "-f", str(pytestconfig.rootpath / ROOT / "wireguard.yaml"))
        for name in ("one", "two"):
            metadata = {"name": name, "annotations": {"theirs": "kept"}, "labels": {"zone": "1"}}
            cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        words = ("create", "token", "tidegate-node", "-n", "tidegate-system", "--bound-object-kind", "Node")
        token = cluster.kubectl(*words, "--bound-object-name", "one").stdout.strip()
        config = cluster.kubeconfig(token, "agent.kubeconfig")
        # A new admission policy takes the server a moment.
        probe = {"labels": {"probe": "1"}}
        cluster.until(lambda: "of its own" in _merge(cluster, config, "two", probe), 30, "guarded")
        yield cluster, config


def _merge(cluster, config, node, metadata):
    """Why the account may not write that; empty if it may."""

    async def work():
        connection = Connection(config, SystemClock(), "test")
        try:
            await connection.merge(f"/api/v1/nodes/{node}", {"metadata": metadata})
        except KubeError as error:
            return str(error)
        finally:
            await connection.close()
        return ""

    with cluster.namespace.entered():
        return asyncio.run(work())


def _annotations(cluster, node):
    said = json.loads(cluster.kubectl("get", "node", node, "-o", "json").stdout)["metadata"]["annotations"]
    return {name: value for name, value in said.items() if not name.startswith("kubectl.")}


def _publish(cluster, config, node, keys):
    async def work():
        publisher = ClusterKeys(Connection(config, SystemClock(), "test"), node)
        try:
            await publisher.publish(keys)
        finally:
            await publisher.close()

    with cluster.namespace.entered():
        asyncio.run(work())


def test_keys_are_said_replaced_and_taken_back(keyed):
    cluster, config = keyed
    _publish(cluster, config, "one", {4: "a", 6: "b"})
    assert _annotations(cluster, "one") == {"theirs": "kept", KEYS[0]: "a", KEYS[1]: "b"}
    _publish(cluster, config, "one", {4: "c"})
    assert _annotations(cluster, "one") == {"theirs": "kept", KEYS[0]: "c"}
    _publish(cluster, config, "one", {})
    assert _annotations(cluster, "one") == {"theirs": "kept"}


def test_another_nodes_keys_are_not_ones_own(keyed):
    cluster, config = keyed
    with pytest.raises(PublishError, match="of its own node alone"):
        _publish(cluster, config, "two", {4: "a"})
    assert _annotations(cluster, "two") == {"theirs": "kept"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"zone": "2"}},
        {"labels": {"zone": None}},
        {"annotations": {"theirs": "mine"}},
        {"annotations": {"theirs": None}},
        {"annotations": {"new": "mine"}},
        {"finalizers": ["a.example/b"]},
    ],
    ids=str,
)
def test_of_its_own_node_the_agent_changes_nothing_but_its_keys(keyed, metadata):
    cluster, config = keyed
    assert "an agent changes no" in _merge(cluster, config, "one", metadata)


def test_a_server_that_refuses_is_an_error_that_says_so(keyed):
    cluster, _ = keyed
    config = cluster.kubeconfig("nobody", "nobody.kubeconfig")
    with pytest.raises(PublishError, match="node's annotations: 401"):
        _publish(cluster, config, "one", {4: "a"})
