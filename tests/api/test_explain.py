"""Explanations: the walk, and every reason that names can be."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from policy.evaluate import Frame
from policy.graph import CalcGraph, applied
from policy.rules import NodeState
from tests.sync.documents import policy, workload
from tidegate.api.explain import Facts, explain
from tidegate.api.question import QuestionError

API = "198.51.100.7"


def told(name, ip=API, endpoint="a/x", left=30.0, own=True, chain=(), is_open=True):
    return {
        "endpoint": endpoint, "name": name, "ip": ip, "ttl_seconds": 60, "expires_in_seconds": left,
        "server": "10.0.53.53", "chain": [name, *chain], "rules": [], "own": own, "is_open": is_open,
    }  # fmt: skip


def facts(*entries, refusal=None, failure=None, domains=("api.test", "*.shop.test")):
    resources = [workload("x"), workload("y", "10.0.1.3", "cali-y")]
    if domains:
        resources.append(policy(*domains))
    graph = CalcGraph("n")
    for item in resources:
        graph.on_update(item.key, item)
    graph.in_sync()

    def ask(**question):
        if failure:
            raise OSError(failure)
        wanted = [
            entry
            for entry in entries
            if entry["ip"] == question.get("address", entry["ip"])
            and entry["name"] == question.get("name", entry["name"])
        ]
        return {"told": wanted, "refusal": refusal}

    return Facts(resources=resources, state=applied(NodeState(), graph.flush()), frame=Frame(), ask=ask)


def codes(document):
    reasons = [*document["reasons"], *(reason for path in document["paths"] for reason in path["reasons"])]
    return [reason["code"] for reason in reasons]


def test_a_learned_name_opens_and_says_how_long():
    found = explain("a/x", f"{API}:443/TCP", facts(told("api.test")))
    assert (found["verdict"], codes(found)) == ("allow", ["learned"])
    (path,) = found["paths"]
    assert path["ip"] == API
    assert path["egress"]["policy"] == "a/p"
    assert path["ingress"] is None


def test_an_alias_opens_by_the_name_that_was_asked_for():
    found = explain("a/x", f"{API}:443", facts(told("edge.cdn.test", chain=["api.test"])))
    assert found["verdict"] == "allow"


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(), ["never-resolved"]),
        (facts(told("api.test", left=-3.0)), ["expired"]),
        (facts(told("api.test", is_open=False)), ["not-open"]),
        (facts(told("api.test", endpoint="a/y", own=False)), ["other-endpoint", "never-resolved"]),
        (facts(told("collect.test")), ["no-pattern"]),
        (facts(refusal={"reason": "guard-private", "name": "api.test"}), ["guard-private", "never-resolved"]),
        (facts(failure="it is away"), ["packet-process-silent", "never-resolved"]),
    ],
)
def test_a_closed_address_says_why(known, expected):
    found = explain("a/x", f"{API}:443", known)
    assert (found["verdict"], codes(found)) == ("deny", expected)


def test_without_domain_rules_names_are_no_reason_to_look_for():
    found = explain("a/x", f"{API}:443", facts(domains=()))
    assert codes(found) == ["no-domain-rules"]


def test_a_pattern_that_is_missed_is_told_with_its_nearest():
    found = explain("a/x", f"{API}:443", facts(told("pi.test")))
    assert "the nearest is api.test" in found["paths"][0]["reasons"][0]["message"]


def test_a_name_is_explained_address_by_address():
    entries = (told("api.test"), told("api.test", ip="198.51.100.8"), told("api.test", ip="198.51.100.9", left=-1.0))
    found = explain("a/x", "api.test:443", facts(*entries))
    assert [path["ip"] for path in found["paths"]] == [API, "198.51.100.8"]
    assert found["verdict"] == "allow"


@pytest.mark.parametrize(
    ("name", "words"), [("www.shop.test", "would match *.shop.test"), ("ap.test", "the nearest is api.test")]
)
def test_a_name_that_was_never_resolved_says_what_it_would_match(name, words):
    found = explain("a/x", f"{name}:443", facts())
    assert (found["verdict"], found["paths"], codes(found)) == ("deny", [], ["never-resolved"])
    assert words in found["reasons"][0]["message"]


def test_an_address_stands_for_its_workload():
    found = explain("10.0.1.2", f"{API}:443", facts(told("api.test")))
    assert (found["endpoint"], found["verdict"]) == ("a/x", "allow")


def test_between_workloads_both_sides_are_judged():
    found = explain("a/x", "a/y:80", facts(domains=()))
    (path,) = found["paths"]
    assert path["ip"] == str(ip_address("10.0.1.3"))
    assert path["egress"] is not None
    assert path["ingress"] is not None


@pytest.mark.parametrize(
    ("source", "to"), [("a/nobody", f"{API}:443"), ("a/x", "a/nobody:80"), ("a/x", "[2001:db8::1]:443")]
)
def test_who_does_not_exist_is_told(source, to):
    with pytest.raises(QuestionError, match=r"^cannot|^from|^to"):
        explain(source, to, facts())


def test_a_name_whose_answers_were_refused_says_why_and_is_not_called_unresolved():
    known = facts()

    def ask(**question):
        return {"told": [], "refusal": None, "refused": [{"ip": API, "reason": "untrusted-server"}]}

    found = explain("a/x", "api.test:443", replace(known, ask=ask))
    assert found["verdict"] == "deny"
    assert [(reason["code"], reason["ip"]) for reason in found["reasons"]] == [("untrusted-server", API)]
