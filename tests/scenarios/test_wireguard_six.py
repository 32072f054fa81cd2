"""Two nodes without any IPv4: their pods, the underlay and the tunnel have IPv6 alone."""

import pytest

from tests.scenarios.nodes import make_cluster, peer
from tests.scenarios.words import both_ways

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory):
    with make_cluster(tmp_path_factory.mktemp("six"), names=("a", "b"), versions=(6,)) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster):
    _cluster.until_all_encrypt()
    _cluster.clear_packets()
    return _cluster


def test_pods_reach_each_other_and_the_wire_shows_no_word_of_it(cluster):
    for source, target in (("a", "b"), ("b", "a")):
        assert cluster.connects(source, target, 6, 30.0)
    cluster.underlay.others.clear()
    with both_ways(cluster, "a", "b", "tcp", 6) as (there, back):
        there.hear()
        back.hear()
    assert (there.failure, there.lost, back.failure, back.lost) == (None, 0, None, 0)
    assert cluster.clear_packets() == []
    assert cluster.underlay.others == []
    (tunnel,) = cluster["a"].agent.get("wireguard")
    assert (tunnel["version"], tunnel["mtu"]) == (6, 1420)


def test_no_part_of_an_ipv4_tunnel_is_there(cluster):
    node = cluster["a"].node
    assert cluster["a"].config["wireguardInterfaceName"] not in node.command("ip", "link")
    assert "51820" not in node.command("ip", "rule")
    assert "51821" in node.command("ip", "-6", "rule")
    assert cluster["a"].agent.get("status")["ready"]


def test_a_restart_and_a_new_key_end_no_connection(cluster):
    site = cluster["b"]
    with both_ways(cluster, "a", "b", "tcp", 6) as (there, back):
        site.agent.stop()
        there.hear()
        site.start()
        site.agent.call("wireguard", "--rotate")
        key = site.tunnel(6)["public_key"]
        cluster.publish()
        cluster.until(lambda: peer(cluster, "a", "b", 6)["public_key"] == key, "a knows the new key")
        there.hear()
        back.hear()
    assert (there.failure, there.lost, back.failure, back.lost) == (None, 0, None, 0)
    assert cluster.clear_packets() == []
