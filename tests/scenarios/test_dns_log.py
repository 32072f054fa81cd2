"""Scenario D79, and who follows what is asked: every question is told with its answer, over each way DNS takes."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.lab.scripted import Step, ask_stream
from tests.scenarios.conftest import Stage
from tidegate.api.client import ApiClient

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

FIELDS = {
    "start_time", "end_time", "type", "count", "client_ip", "client_name", "client_name_aggr", "client_namespace",
    "client_labels", "qname", "qtype", "qclass", "rcode", "rrsets", "servers", "latency_count", "latency_mean",
    "latency_max",
}  # fmt: skip
QUESTIONS = 100


@pytest.fixture
def logging(stage: Stage, tmp_path):
    """Runs the agent with a log of its own, and gives its directory. Nothing is asked before it listens."""

    def run(**config):
        always = {"dnsLogsFileEnabled": True, "dnsLogsFileDirectory": str(tmp_path), "dnsLogsFlushInterval": "1s"}
        stage.run_agent(**(always | config))
        stage.permit("ep1", "*.d79.test")
        before = stage.agent.get("status")["counters"]["dns_log_exchanges"]

        def is_heard() -> bool:
            stage.ask("ep1", "warm.d79x.test")
            return stage.agent.get("status")["counters"]["dns_log_exchanges"] > before

        stage.until(is_heard, 20, "questions are recorded")
        return tmp_path

    return run


def records(directory):
    """All that are whole: the last may be on its way into the file."""
    files = sorted(directory.glob("dns.log*"), reverse=True)
    return [json.loads(line) for file in files for line in file.read_text().rpartition("\n")[0].splitlines()]


def records_of(directory, end: str):
    return [item for item in records(directory) if item.get("qname", "").endswith(end)]


def ask_hundred(stage: Stage, start: str) -> Counter:
    """Different names, with three kinds of answers."""
    stage.server.script(f"fail.{start}.d79.test", "A", Step(rcode="SERVFAIL"))
    expected: Counter = Counter()
    for number in range(QUESTIONS):
        name = f"n{number}.{start}.d79.test"
        if number % 3 == 0:
            stage.server.script(name, "A", Step(answer=[f"{name} 60 A 198.51.100.99"], delay_seconds=0.002))
            expected["NoError"] += 1
        elif number % 3 == 1:
            expected["NXDomain"] += 1
        else:
            stage.server.script(name, "A", Step(rcode="SERVFAIL"))
            expected["ServFail"] += 1
        stage.ask("ep1", name)
    return expected


def test_d79_a_hundred_questions_are_logged_with_every_field(stage: Stage, logging):
    directory = logging(dnsLogsFileAggregationKind=0)
    expected = ask_hundred(stage, "a")
    stage.until(
        lambda: sum(item["count"] for item in records_of(directory, ".a.d79.test")) >= QUESTIONS, 20, "all are written"
    )
    found = records_of(directory, ".a.d79.test")
    told: Counter = Counter()
    for item in found:
        told[item["rcode"]] += item["count"]
        assert set(item) >= FIELDS
    assert told == expected
    pod = stage.lab.pod("ep1")
    assert {(item["client_ip"], item["client_name"], item["client_namespace"]) for item in found} == {
        (str(pod.address4), "ep1", "test")
    }
    assert all(item["client_labels"]["ep"] == "ep1" for item in found)
    assert all(item["servers"][0]["ip"] == "10.0.53.53" for item in found)
    timed = [item for item in found if item["latency_count"]]
    assert timed
    assert all(item["latency_max"] >= item["latency_mean"] > 0 for item in timed)
    [first] = [item for item in found if item["qname"] == "n0.a.d79.test"]
    assert first["rrsets"] == [{"name": "n0.a.d79.test", "class": "IN", "type": "A", "rdata": ["198.51.100.99"]}]
    assert [item["kind"] for item in first["policies"]] == ["NetworkPolicy"]
    assert not any(item["policies"] for item in found if item["rcode"] != "NoError")


def test_d79_beyond_the_limit_questions_are_counted(stage: Stage, logging):
    directory = logging(dnsLogsFilePerNodeLimit=10, dnsLogsFlushInterval="10m")
    before = stage.agent.get("status")["counters"]["dns_log_exchanges"]
    ask_hundred(stage, "b")
    stage.until(
        lambda: stage.agent.get("status")["counters"]["dns_log_exchanges"] - before >= QUESTIONS, 20, "all were seen"
    )
    stage.agent.stop()  # what waits is written
    found = records(directory)
    logs = [item for item in found if item["type"] == "LOG"]
    assert len(logs) == 10
    assert {(item["client_ip"], item["client_name"]) for item in logs} == {(None, "-")}, "added up by owner"
    # What was asked before the hundred has one of the ten records.
    own = records_of(directory, ".b.d79.test")
    assert [item["count"] for item in found if item["type"] == "UNLOGGED"] == [QUESTIONS - len(own)]


def test_what_is_asked_over_tcp_and_what_nobody_answers_is_logged(stage: Stage, logging):
    directory = logging(dnsLogsFileAggregationKind=0)
    stage.server.address("tcp.d79.test", "198.51.100.99")
    stage.server.script("silent.d79.test", "A", Step(mangle=lambda packed: []))
    with pytest.raises(TimeoutError):
        stage.ask("ep1", "silent.d79.test", timeout_seconds=0.2)
    ask_stream(stage.lab.pod("ep1").namespace, "tcp.d79.test")

    def by_name():
        return {item["qname"]: item for item in records_of(directory, "d79.test")}

    stage.until(lambda: {"tcp.d79.test", "silent.d79.test"} <= by_name().keys(), 40, "both are in the file")
    found = by_name()
    assert (found["tcp.d79.test"]["transport"], found["tcp.d79.test"]["rcode"]) == ("TCP", "NoError")
    assert found["tcp.d79.test"]["policies"]
    silent = found["silent.d79.test"]
    assert (silent["rcode"], silent["latency_count"], silent["rrsets"]) == (None, 0, [])


def test_what_the_forwarder_answers_or_refuses_is_logged(stage: Stage, logging):
    directory = logging(dnsPolicyMode="Proxy", dnsLogsFileAggregationKind=0, dnsProxyDeniedTypes=["TXT"])
    stage.server.address("fwd.d79.test", "198.51.100.99")
    for name, qtype in (
        ("fwd.d79.test", "A"),
        ("fwd.d79.test", "A"),
        ("none.fwd.d79.test", "A"),
        ("fwd.d79.test", "TXT"),
    ):
        stage.ask("ep1", name, qtype)
    stage.until(
        lambda: sum(item["count"] for item in records_of(directory, "fwd.d79.test")) >= 4, 20, "all are in the file"
    )
    found = {(item["qname"], item["qtype"]): item for item in records_of(directory, "fwd.d79.test")}
    assert sum(item["count"] for item in records_of(directory, "fwd.d79.test")) == 4
    assert found["fwd.d79.test", "A"]["policies"]
    assert found["none.fwd.d79.test", "A"]["rcode"] == "NXDomain"
    assert found["fwd.d79.test", "TXT"]["reason"] == "forwarder-type"


@contextmanager
def following(stage: Stage, *words: str):
    """A command that follows, and a function that gives the documents it has printed so far."""
    out = stage.resources.parent / f"followed-{next(stage.numbers)}.jsonl"
    command = [sys.executable, "-m", "tidegate", *words, "--follow", "-o", "json", "--socket", str(stage.agent.socket)]
    with out.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
    try:
        yield lambda: [json.loads(line) for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]
    finally:
        process.terminate()
        process.wait(10)


def test_who_follows_dns_sees_each_question_as_it_is_answered(stage: Stage):
    stage.server.address("live.d79.test", "198.51.100.99")
    stage.permit("ep1", "*.d79.test")

    def asks_and_sees() -> bool:
        # The first ones are asked before the follower listens.
        stage.ask("ep1", "live.d79.test")
        return any(item["qname"] == "live.d79.test" for item in seen())

    with following(stage, "dns", "--endpoint", "test/ep1", "--rcode", "noerror") as seen:
        stage.until(asks_and_sees, 20, "the follower sees what is asked")
        stage.ask("ep1", "none.d79.test")
        stage.ask("ep1", "live.d79.test", "AAAA")
        stage.until(lambda: any(item["qtype"] == "AAAA" for item in seen()), 20, "it sees the latest")
    assert not any(item["qname"] == "none.d79.test" for item in seen()), "only answers of the code"
    item = next(item for item in seen() if item["qname"] == "live.d79.test")
    assert item["endpoint"] == "test/ep1"
    assert [entry["ip"] for entry in item["learned"]] == ["198.51.100.99"]
    assert item["policies"]
    shown = stage.agent.call("dns", "--name", "live.d79.test").stdout
    assert "live.d79.test (10.0.53.53): NoError" in shown


def test_who_follows_names_sees_what_is_known_and_what_is_learned(stage: Stage):
    known, fresh = stage.fresh4(), stage.fresh4()
    stage.server.address("known.d79.test", known)
    stage.server.address("fresh.d79.test", fresh)
    stage.permit("ep1", "*.d79.test")
    stage.resolve("ep1", "known.d79.test")
    with following(stage, "names", "--endpoint", "test/ep1") as seen:
        stage.until(lambda: any(item["ip"] == known for item in seen()), 20, "what is known comes first")
        stage.resolve("ep1", "fresh.d79.test")
        stage.until(lambda: any(item["ip"] == fresh for item in seen()), 20, "what is learned comes")
    first = next(item for item in seen() if item["ip"] == known)
    assert first["event"] == "known"
    [item] = [item for item in seen() if item["ip"] == fresh]
    assert item["event"] == "learned"
    assert item["name"] == "fresh.d79.test"
    assert 0 < item["expires_in_seconds"] <= 60
    assert [policy["kind"] for policy in item["policies"]] == ["NetworkPolicy"]


def test_nothing_is_fetched_where_nobody_wants_to_know(stage: Stage):
    stage.permit("ep1", "*.d79.test")

    def is_quiet() -> bool:
        before = stage.agent.get("status")["counters"]["dns_log_exchanges"]
        for number in range(3):
            stage.ask("ep1", f"quiet{number}.d79.test")
        stage.settle()
        return stage.agent.get("status")["counters"]["dns_log_exchanges"] == before

    # Followers of earlier scenarios are forgotten after ten seconds.
    stage.until(is_quiet, 40, "nobody listens any more")
    assert stage.agent.call("dns").stderr.startswith("DNS is recorded while somebody follows")


def test_metrics_tell_what_was_answered_learned_and_held(stage: Stage):
    address = stage.fresh4()
    stage.server.address("metric.d79.test", address)
    stage.permit("ep1", "metric.d79.test")
    stage.resolve("ep1", "metric.d79.test")
    stage.ask("ep1", "none.d79.test")
    client = ApiClient(stage.agent.socket)

    def value(start: str) -> float:
        page = client.text("/metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in page if line.startswith(start))

    for start in (
        'tidegate_dns_answers_total{rcode="0",server="10.0.53.53:53"}',
        'tidegate_dns_answers_total{rcode="3",server="10.0.53.53:53"}',
        'tidegate_dns_learned_total{family="4"}',
        'tidegate_dns_unlearned_total{reason="negative"}',
        "tidegate_dns_answer_seconds_count",
        "tidegate_dns_answer_seconds_sum",
        'tidegate_dns_names{endpoint="test/',
        'tidegate_dns_addresses{endpoint="test/',
    ):
        stage.until(lambda start=start: value(start) > 0, 20, start)
    assert value("tidegate_dns_answer_seconds_bucket") >= value("tidegate_dns_answer_seconds_count")
