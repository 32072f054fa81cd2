"""The question, the tables and their difference; no kernel."""

import json
import subprocess
import sys
from ipaddress import ip_address

import pytest

from policy.rules import EndpointID
from tests.truth import recipes
from tidegate.store.files import FileSource
from tidegate.truth.cases import Member, Port, TruthError, cases, cast, container_ports, parse_port
from tidegate.truth.table import Truth, lines

BOTH = Member(EndpointID("n/both"), (ip_address("10.0.0.1"), ip_address("fd00::1")), "")
FOUR = Member(EndpointID("n/four"), (ip_address("10.0.0.2"),), "")
HTTP = Port(80, 6)


def read(directory, text):
    (directory / "all.yaml").write_text(text)
    return [update.resource for update in FileSource(directory).load().updates]


def test_each_pair_is_asked_over_the_families_that_both_have():
    asked = cases((BOTH, FOUR), (HTTP,), (4, 6))
    assert [(case.source.id, case.destination.id, case.family) for case in asked] == [
        ("n/both", "n/four", 4),
        ("n/four", "n/both", 4),
    ]


@pytest.mark.parametrize(("text", "port"), [("80", Port(80, 6)), ("53/udp", Port(53, 17)), ("443/TCP", Port(443, 6))])
def test_a_port_is_written_with_its_protocol_or_means_tcp(text, port):
    assert parse_port(text) == port


@pytest.mark.parametrize("text", ["", "0", "65536", "80/SCTP", "http", "²/TCP"])
def test_a_port_that_cannot_be_probed_is_refused(text):
    with pytest.raises(TruthError, match="cannot probe port"):
        parse_port(text)


def test_the_ports_that_pods_declare_are_probed_when_none_is_given(tmp_path):
    assert container_ports(read(tmp_path, recipes.text())) == (Port(80, 6), Port(8001, 6))


def test_a_pod_without_an_address_is_told_and_not_left_out(tmp_path):
    text = recipes.text().replace("podIPs", "ignored")
    with pytest.raises(TruthError, match="no address"):
        cast(read(tmp_path, text))


def test_pods_on_two_nodes_are_refused(tmp_path):
    text = recipes.text().replace("nodeName: node-1", "nodeName: node-2", 1)
    with pytest.raises(TruthError, match="node-1, node-2"):
        cast(read(tmp_path, text))


def table(predicted, observed):
    return Truth(cases((BOTH, FOUR), (HTTP,), (4,)), predicted, observed)


def test_each_kind_of_difference_has_a_mark_of_its_own():
    assert list(lines(table((False, True), (True, False))))[-2:] == ["  n/both   X   .   !", "  n/four  .   X   ? "]


def test_equal_tables_have_no_difference():
    truth = table((False, True), (False, True))
    assert truth.differences == ()
    assert truth.document["differences"] == []


def test_the_document_names_each_difference():
    [difference] = table((False, True), (True, True)).document["differences"]
    assert difference == {
        "from": "n/both",
        "to": "n/four",
        "protocol": "TCP",
        "port": 80,
        "family": 4,
        "predicted": False,
        "observed": True,
    }


@pytest.mark.kernel
def test_the_command_ends_with_3_and_json_where_packets_and_policy_differ(tmp_path):
    all_documents = recipes.documents()
    kept = [
        item
        for item in all_documents
        if (item["metadata"].get("namespace") or item["metadata"]["name"]) in ("free", "deny-all")
    ]
    directories = []
    for name, chosen in (("whole", kept), ("lacking", [item for item in kept if item["kind"] != "NetworkPolicy"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": chosen}))
        directories.append(str(tmp_path / name))
    whole, lacking = directories
    words = [sys.executable, "-m", "tidegate", "truth", "--resources", whole, "-o", "json", "--port", "80"]
    done = subprocess.run(
        [*words, "--agent-resources", lacking], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert document["probes"] == 12
    assert {(item["from"], item["to"]) for item in document["differences"]} == {
        (source, destination)
        for source in ("free/one", "free/two", "deny-all/a")
        for destination in ("free/one", "free/two", "deny-all/a")
        if source != destination and "deny-all/a" in (source, destination)
    }
