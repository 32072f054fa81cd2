"""Nodes that say their keys themselves: in their own documents, of which each agent is given one."""

import os
import time

import pytest
import yaml

from tests.scenarios.nodes import KEYS, NAMES, make_cluster, peer, talking

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory):
    with make_cluster(tmp_path_factory.mktemp("publishing")) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster):
    """All nodes encrypt to each other by what their agents wrote."""
    for name in NAMES:
        _cluster[name].reload(wireguardNodeFile=str(_file(_cluster, name)))
    for name in NAMES:
        _cluster.until_peers(name, *(other for other in NAMES if other != name))
    _cluster.until(lambda: all(_is_said(_cluster, name) for name in NAMES), "all keys are said")
    _cluster.clear_packets()
    return _cluster


def _file(cluster, name):
    return cluster.resources / f"node-{name}.yaml"


def _annotations(cluster, name):
    return yaml.safe_load(_file(cluster, name).read_text())["metadata"].get("annotations", {})


def _key(cluster, name, version=4):
    return cluster[name].tunnel(version)["public_key"]


def _is_said(cluster, name):
    said = _annotations(cluster, name)
    return all(said.get(KEYS[version]) == _key(cluster, name, version) for version in KEYS)


@pytest.mark.parametrize("version", [4, 6])
def test_nodes_that_say_their_own_keys_encrypt_to_each_other(cluster, version):
    for source in NAMES:
        for target in NAMES:
            if source != target:
                assert cluster.connects(source, target, version), cluster.told(source, target, version)
    assert cluster.clear_packets() == []


def test_a_new_key_is_said_at_once_and_a_stream_goes_on(cluster):
    with talking(cluster, "a", "b") as talk:
        talk()
        before, began = _key(cluster, "a"), time.monotonic()
        cluster["a"].agent.call("wireguard", "--rotate")
        talk()
        assert time.monotonic() - began < 10
        cluster.until(
            lambda: peer(cluster, "b", "a")["public_key"] == _key(cluster, "a") != before, "b knows the new key"
        )
        talk()
    assert _is_said(cluster, "a")
    assert cluster.clear_packets() == []


def test_an_old_key_is_replaced_when_its_time_has_come(cluster):
    before = _key(cluster, "a")
    key_file = next(cluster["a"].agent.scratch.rglob("wireguard.key"))
    os.utime(key_file, (time.time() - 3600,) * 2)
    cluster["a"].reload(wireguardNodeFile=str(_file(cluster, "a")), wireguardKeyRotation="30m")
    cluster.until(lambda: _key(cluster, "a") != before and _is_said(cluster, "a"), "a has another key and says it")
    cluster.until(lambda: peer(cluster, "c", "a")["public_key"] == _key(cluster, "a"), "c knows it")
    assert cluster.connects("c", "a"), cluster.told("c", "a")
    assert cluster.clear_packets() == []


def test_a_node_that_encrypts_no_more_takes_its_keys_back(cluster):
    cluster["c"].reload(wireguardNodeFile=str(_file(cluster, "c")), wireguardEnabled=False, wireguardEnabledV6=False)
    cluster.until(lambda: not set(KEYS.values()) & _annotations(cluster, "c").keys(), "c's document says no key")
    cluster.until_peers("a", "b")
    assert cluster.connects("a", "c"), cluster.told("a", "b")
    clear = cluster.clear_packets()
    assert clear
    assert [pair for pair in clear if "10.0.3.2" not in pair] == []


def test_a_file_without_the_node_is_told_and_left_alone(cluster):
    other = _file(cluster, "b")
    before = other.read_text()
    cluster["c"].reload(wireguardNodeFile=str(other))
    found = cluster.until(
        lambda: [
            each["message"]
            for each in cluster["c"].agent.get("status")["conditions"]
            if each["reason"] == "CannotPublish"
        ],
        "c says that it cannot",
    )
    assert "no document of node c" in found[0]
    assert other.read_text() == before
