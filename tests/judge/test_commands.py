"""`tidegate eval` and `tidegate render`, as people and scripts call them."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from tests.oracles.documents import resource
from tidegate.cli.main import app
from tidegate.judge import session as session_module
from tidegate.judge.answer import Answer, DirectionAnswer, Step

POD = {"nodeName": "node1", "containers": []}
DOCUMENTS = [
    resource("Namespace", "prod"),
    resource("Pod", "web", POD, namespace="prod", labels={"app": "web"})
    | {"status": {"podIPs": [{"ip": "10.65.0.2"}, {"ip": "fd00:65::2"}]}},
    resource("Pod", "db", POD, namespace="prod", labels={"app": "db"}) | {"status": {"podIPs": [{"ip": "10.65.0.3"}]}},
    resource(
        "NetworkPolicy",
        "out",
        {
            "selector": "app == 'web'",
            "types": ["Egress"],
            "egress": [
                {"action": "Log"},
                {"action": "Allow", "protocol": "TCP", "destination": {"selector": "app == 'db'", "ports": [5432]}},
                {"action": "Allow", "destination": {"domains": ["*.example.com"]}},
            ],
        },
        namespace="prod",
    ),
]
TO_DB = {"id": "a", "from": {"pod": "prod/web"}, "to": {"pod": "prod/db"}, "protocol": "TCP", "port": 5432}
OUT = {"id": 2, "from": {"pod": "prod/web"}, "to": {"ip": "192.0.2.1"}, "protocol": "TCP", "port": 443}


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "resources"
    path.mkdir()
    (path / "all.yaml").write_text(yaml.safe_dump_all(DOCUMENTS))
    return path


def run(*words, probes=()):
    lines = [probe if isinstance(probe, str) else json.dumps(probe) for probe in probes]
    return CliRunner().invoke(app, [str(word) for word in words], input="\n".join(lines))


def verdicts(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("oracle", ["evaluate", "simulate", "both"])
def test_a_verdict_says_who_decided_on_both_sides(directory, oracle):
    result = run("eval", "--resources", directory, "--oracle", oracle, probes=[TO_DB])
    assert result.exit_code == 0, result.stderr
    (verdict,) = verdicts(result)
    egress, ingress = verdict["egress"], verdict["ingress"]
    assert (verdict["id"], verdict["verdict"]) == ("a", "allow")
    decided = {key: egress[key] for key in ("verdict", "tier", "policy", "kind", "rule", "staged")}
    assert decided == {
        "verdict": "allow",
        "tier": "default",
        "policy": "prod/out",
        "kind": "NetworkPolicy",
        "rule": 1,
        "staged": [],
    }
    assert [step["happened"] for step in egress["trace"]] == ["rule logs", "rule allows"]
    assert (ingress["tier"], ingress["policy"], ingress["rule"]) == ("__PROFILE__", "kns.prod", 0)


@pytest.mark.parametrize("oracle", ["evaluate", "simulate", "both"])
def test_a_name_opens_an_address_to_who_learned_it(directory, tmp_path, oracle):
    names = tmp_path / "names.jsonl"
    names.write_text('\n{"endpoint": "prod/web", "name": "api.example.com", "ip": "192.0.2.1"}\n')
    without = run("eval", "--resources", directory, "--oracle", oracle, probes=[OUT])
    with_names = run("eval", "--resources", directory, "--oracle", oracle, "--names", names, probes=[OUT])
    assert verdicts(without)[0]["egress"]["rule"] == -1
    assert verdicts(without)[0]["ingress"] is None
    assert verdicts(with_names)[0]["egress"]["rule"] == 2
    assert with_names.exit_code == 0


def test_faulty_lines_are_located_and_the_others_answered(directory, tmp_path):
    names = tmp_path / "names.jsonl"
    names.write_text(
        '{"endpoint": "prod/web", "name": "api..example.com", "ip": "192.0.2.1"}\n'
        '{"endpoint": "prod/gone", "name": "api.example.com", "ip": "192.0.2.1"}\n'
    )
    to_nobody = TO_DB | {"to": {"pod": "prod/gone"}}
    result = run("eval", "--resources", directory, "--names", names, probes=["", "{", TO_DB, to_nobody])
    assert result.exit_code == 1
    assert len(verdicts(result)) == 1
    name, stranger, broken, unknown = result.stderr.splitlines()
    assert name.startswith(f"{names}:1: name: cannot")
    assert stranger == f"{names}:2: endpoint: cannot find prod/gone among the pods, workload and host endpoints"
    assert broken.startswith("stdin:2: cannot read JSON")
    assert unknown == "stdin:4: to: cannot find prod/gone among the pods and workload endpoints"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_of_names_that_cannot_be_read_is_refused(directory, tmp_path, content):
    names = tmp_path / "names.jsonl"
    if content is not None:
        names.write_bytes(content)
    result = run("eval", "--resources", directory, "--names", names, probes=[TO_DB])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"cannot read {names}: ")


def test_oracles_that_disagree_are_both_heard(directory, monkeypatch):
    wrong = DirectionAnswer(is_allowed=False, trace=(Step(happened="rule denies", tier="default", rule=0),))
    answer = Answer(egress=wrong, ingress=None)
    monkeypatch.setattr(session_module.Simulation, "judge", lambda _, packet: answer)
    result = run("eval", "--resources", directory, "--oracle", "both", probes=[TO_DB])
    assert result.exit_code == 3
    assert verdicts(result)[0]["verdict"] == "allow"
    said = [line.split(" says ")[0] for line in result.stderr.splitlines()]
    assert said == ["stdin:1: evaluate", "stdin:1: simulate"]


def test_a_faulty_document_is_left_out_and_told(directory):
    (directory / "bad.yaml").write_text("apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: a.b}\n")
    result = run("eval", "--resources", directory, probes=[TO_DB])
    assert result.exit_code == 0
    assert result.stderr.startswith("bad.yaml:3: metadata.name: ")


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    result = run("eval", "--resources", tmp_path / "none", probes=[TO_DB])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot read" in result.stderr


def test_render_prints_the_same_script_each_time(directory):
    first, second = (run("render", "--resources", directory, "--node", "node1") for _ in range(2))
    assert first.exit_code == 0
    assert first.stdout == second.stdout
    assert first.stdout.startswith("table inet tidegate {\n")
    assert "default/np:prod/out/egress/1" in first.stdout
    assert not first.stderr


def test_render_says_so_if_the_node_has_no_workloads(directory):
    result = run("render", "--resources", directory, "--node", "node9")
    assert result.exit_code == 0
    assert result.stderr == "no workload of the resources is on node 'node9'; there are node1\n"
    assert "chain filter-forward" in result.stdout


def test_render_follows_the_configuration(directory, tmp_path):
    config = tmp_path / "tidegate.yaml"
    config.write_text("dnsTrustedServers: [10.96.0.10]\ndefaultEndpointToHostAction: Return\n")
    result = run("render", "--resources", directory, "--node", "node1", "--config", config)
    assert "10.96.0.10 . 53" in result.stdout
    assert "workload to its own host" not in result.stdout
