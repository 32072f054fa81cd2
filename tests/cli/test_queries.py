"""What the showing commands print: one JSON document, or a table; and how they end."""

import json

import pytest

from tests.cli.conftest import canned_agent

STATUS = {
    "ready": True,
    "node": "n1",
    "generation": {"wanted": 3, "applied": 3, "packets": 3},
    "mode": {"wanted": "DelayDNSResponse", "in_force": "NoDelay", "reason": "no queue"},
    "trusted_servers": ["10.0.53.53:53"],
    "packets": {"state": "running", "pid": 7, "counters": {}},
    "encodings": {"queue": "compat"},
    "connections": {"on_policy_change": "Terminate", "judged_by": 2, "judged": 9, "ended": 4, "last_look_seconds": 0.1},
    "counts": {"endpoints": 1},
    "limits": [{"endpoint": "a/x", "name": "egressMaxConnections", "limit": 7, "burst": None, "dropped": 9}],
    "full_sets": {"held-rate": 0, "tcp-rate": 6},
    "conditions": [
        {"type": "StaleResource", "status": "True", "normal": False, "since": "2026-01-01T00:00:00Z", "reason": "Invalid",
         "message": "bad [selector]", "subject": "a.yaml#1", "path": "spec.selector"},
    ],
}  # fmt: skip
ENDPOINTS = [
    {"id": "a/x", "namespace": "a", "name": "x", "interface": "cali-x", "addresses": ["10.0.0.1"], "profiles": ["open"],
     "limits": [{"name": "egressMaxConnections", "limit": 7, "burst": None, "dropped": 9}],
     "tiers": [{"name": "default", "ingress": [], "egress": [{"kind": "NetworkPolicy", "namespace": "a", "name": "p"}]}]},
    {"id": "b/y", "namespace": "b", "name": "y", "interface": "", "addresses": [], "profiles": [], "tiers": []},
]  # fmt: skip
POLICIES = [
    {"kind": "NetworkPolicy", "namespace": "a", "name": "p", "tier": "default", "endpoints": 1,
     "rules": [{"direction": "egress", "index": 0, "action": "Allow", "packets": 5, "bytes": 300}]},
    {"kind": "Profile", "namespace": "", "name": "open", "tier": "", "endpoints": 1, "rules": []},
]  # fmt: skip
SETS = [
    {"id": "role == 'a'", "kind": "nets", "kernel_sets": ["s4-1", "s6-1"], "count": 2, "patterns": []},
    {"id": "dom", "kind": "domains", "kernel_sets": ["d4-1"], "count": 1, "patterns": ["*.example.com"]},
]
NAMES = [
    {"endpoint": "a/x", "name": "api.test", "ip": "198.51.100.1", "expires_in_seconds": 61.2},
    {"endpoint": "b/y", "name": "www.test", "ip": "2001:db8::1", "expires_in_seconds": 5},
]
ANSWERS = {"status": STATUS, "endpoints": ENDPOINTS, "policies": POLICIES, "sets": SETS, "names": NAMES}


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "s"
    with canned_agent(path, ANSWERS):
        yield path


@pytest.mark.parametrize("command", ANSWERS)
def test_json_is_exactly_the_document(agent, call, command):
    done = call(command, "--socket", agent, "-o", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == ANSWERS[command]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "status",
            ["ready", "10.0.53.53:53", "bad [selector]", "a.yaml#1", "9 packets beyond", "tcp-rate (6 packets)"],
        ),
        ("endpoints", ["a/x", "cali-x", "(no route yet)", "default: p", "egressMaxConnections 7, 9 packets dropped"]),
        ("policies", ["a/p", "egress 0", "300", "(profile)"]),
        ("sets", ["role == 'a'", "*.example.com", "d4-1"]),
        ("names", ["api.test", "1m 1s", "2001:db8::1"]),
    ],
)
def test_tables_show_what_people_look_for(agent, call, command, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = call(command, "--socket", agent)
    assert done.exit_code == 0, done.stderr
    for word in words:
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("endpoints", "-n", "b"), ["b/y"]),
        (("policies", "--tier", "default"), ["p"]),
        (("policies", "--name", "open"), ["open"]),
        (("sets", "--kind", "domains"), ["dom"]),
        (("names", "--endpoint", "a/x"), ["api.test"]),
        (("names", "--name", "www.test"), ["www.test"]),
    ],
)
def test_filters_filter(agent, call, words, ids):
    done = call(*words, "--socket", agent, "-o", "json")
    assert [item.get("id") or item["name"] for item in json.loads(done.stdout)] == ids


@pytest.mark.parametrize("command", ANSWERS)
def test_an_absent_agent_is_exit_code_4_and_one_line(tmp_path, call, command):
    done = call(command, "--socket", tmp_path / "none", "-o", "json")
    assert done.exit_code == 4
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("status", "--wait", "soon"), ("names", "--colour"), ("sets", "-o", "xml"), ("nonsense",)]
)
def test_wrong_usage_is_exit_code_2(call, words):
    assert call(*words).exit_code == 2


def test_status_exits_with_1_while_not_ready_and_waiting_ends_as_soon_as_it_is(tmp_path, call):
    calls = iter([False, False, True])
    with canned_agent(tmp_path / "s", {"status": lambda: STATUS | {"ready": next(calls)}}):
        assert call("status", "--socket", tmp_path / "s").exit_code == 1
        assert call("status", "--socket", tmp_path / "s", "--wait", "5").exit_code == 0


def test_status_waits_no_longer_than_told(tmp_path, call):
    with canned_agent(tmp_path / "s", {"status": STATUS | {"ready": False}}):
        assert call("status", "--socket", tmp_path / "s", "--wait", "0.3").exit_code == 1


def test_the_socket_may_come_from_the_environment(agent, call, monkeypatch):
    monkeypatch.setenv("TIDEGATE_SOCKET", str(agent))
    assert call("names", "-o", "json").exit_code == 0


def test_version_and_completion_need_no_agent(call):
    assert json.loads(call("version", "-o", "json").stdout)["version"]
    for shell in ("bash", "zsh", "fish"):
        assert "_TIDEGATE_COMPLETE" in call("completion", shell).stdout


@pytest.mark.kernel
def test_doctor_prints_one_document_of_findings(call):
    done = call("doctor", "-o", "json")
    findings = json.loads(done.stdout)
    assert {"name", "verdict", "finding", "mend"} == set(findings[0])
    assert done.exit_code == int(any(item["verdict"] == "bad" for item in findings))


def test_a_faulty_configuration_is_told_line_by_line(call):
    done = call("doctor", "--set", "dnsExtraTLL=3s", "--set", "dnsTTLFloor=x")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "cannot use the configuration: flag: dnsExtraTLL: cannot find a setting of that name; did you mean dnsExtraTTL?",
        "cannot use the configuration: flag: dnsTTLFloor: 'x' is not a duration like 1m30s",
    ]
