"""Commands without an agent judge by the configuration that stands among the resources."""

from policy.resources.decode import decode
from tests.policy import documents
from tidegate.config.sources import configure
from tidegate.judge.configured import documents_for, frame_of
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session


def felix(name, **spec):
    kind = {"apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration"}
    return decode({**kind, "metadata": {"name": name}, "spec": spec})


CLUSTER = felix("default", defaultEndpointToHostAction="Accept", logPrefix="all")
ZONE = felix("zone", nodeSelector="zone == 'a'", logPrefix="zone")
OWN = felix("node.node-1", logPrefix="own")


def prefix(*resources, node="node-1"):
    return configure(documents_for(resources, node)).settings.log_prefix


def test_a_node_has_what_is_said_for_it():
    node = documents.node("node-1", labels={"zone": "a"})
    assert prefix(CLUSTER, ZONE) == "all"
    assert prefix(CLUSTER, ZONE, node) == "zone"
    assert prefix(CLUSTER, ZONE, node, OWN) == "own"
    assert prefix(CLUSTER, ZONE, node, OWN, node="") == "all"


def test_both_oracles_judge_by_it():
    known = [documents.namespace(), documents.pod("a", "10.0.0.1"), CLUSTER]
    probe = parse_probe(
        '{"id": 1, "from": {"pod": "ns/a"}, "to": {"host": "node-1"}, "protocol": "TCP", "port": 80, "family": 4}'
    )
    for settings, is_allowed in ((None, False), (configure(documents_for(known, "")).settings, True)):
        answers = Session(known, Roster(known), (), Oracle.BOTH, settings).answers(probe)
        assert [answer.egress.is_allowed for answer in answers.values()] == [is_allowed, is_allowed]


def test_the_frame_has_the_settings_of_the_same_names():
    settings = configure(documents_for([felix("default", allowIPIPPacketsFromWorkloads=True)], "")).settings
    assert frame_of(settings).allow_ipip_packets_from_workloads
