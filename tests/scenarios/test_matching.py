"""Scenarios D01 to D14: which names a policy covers."""

import socket
import time
from pathlib import Path

import dnslib
import pytest
import yaml

from tests.lab.scripted import Step
from tests.scenarios.conftest import DENIED, Stage, policy
from tidegate.demo.agent import program

pytestmark = pytest.mark.kernel


def test_d01_a_resolved_name_opens_its_port_and_nothing_else(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d01.test", address)
    stage.permit("ep1", "d01.test")
    assert stage.resolve("ep1", "d01.test") == [address]
    stage.assert_passes("ep1", address)
    stage.assert_denied("ep1", address, 80)
    before = stage.wire.datagrams(address, 9000)
    with stage.lab.pod("ep1").namespace.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.sendto(b"hello", (address, 9000))
    time.sleep(0.1)
    assert stage.wire.datagrams(address, 9000) == before


def test_d02_an_answer_without_a_policy_is_delivered_and_opens_nothing(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d02-other.test", address)
    stage.permit("ep1", "d02.test")
    assert stage.resolve("ep1", "d02-other.test") == [address]
    stage.assert_denied("ep1", address)


def test_d03_an_address_never_resolved_is_denied_with_its_reason(stage: Stage):
    address = stage.fresh4()
    stage.permit("ep1", "d03.test")
    with stage.counting("denied-dropped"):
        stage.assert_denied("ep1", address)
        assert stage.waiting(DENIED) == 1
        stage.until(lambda: stage.waiting(DENIED) == 0, 1.5, "nothing is held")
    assert stage.reasons("ep1", address) == ["never-resolved"]


def _wildcard_addresses(stage: Stage, *names: str) -> dict[str, str]:
    addresses = {name: stage.fresh4() for name in names}
    for name, address in addresses.items():
        stage.server.address(name, address)
    return addresses


def test_d04_a_wildcard_spans_one_or_more_labels_and_not_the_apex(stage: Stage):
    at = _wildcard_addresses(stage, "x.d04.test", "a.b.d04.test", "d04.test")
    stage.permit("ep1", "*.d04.test")
    for name in at:
        stage.resolve("ep1", name)
    stage.assert_passes("ep1", at["x.d04.test"])
    stage.assert_passes("ep1", at["a.b.d04.test"])
    stage.assert_denied("ep1", at["d04.test"])


def test_d05_a_single_label_wildcard_spans_exactly_one(stage: Stage):
    at = _wildcard_addresses(stage, "x.d05.test", "a.b.d05.test", "d05.test")
    stage.permit("ep1", "*.d05.test", annotations={"dns.tidegate.io/wildcard": "single-label"})
    for name in at:
        stage.resolve("ep1", name)
    stage.assert_passes("ep1", at["x.d05.test"])
    stage.assert_denied("ep1", at["a.b.d05.test"])
    stage.assert_denied("ep1", at["d05.test"])


def test_d06_a_wildcard_in_the_middle_needs_a_label(stage: Stage):
    at = _wildcard_addresses(stage, "www.q.c.d06.test", "www.c.d06.test", "www.d06.test", "www.c.d06.example")
    stage.permit("ep1", "www.*.d06.test")
    for name in at:
        stage.resolve("ep1", name)
    stage.assert_passes("ep1", at["www.q.c.d06.test"])
    stage.assert_passes("ep1", at["www.c.d06.test"])
    stage.assert_denied("ep1", at["www.d06.test"])
    stage.assert_denied("ep1", at["www.c.d06.example"])


def test_d07_a_wildcard_in_the_middle_spans_several_labels(stage: Stage):
    at = _wildcard_addresses(stage, "update.a.b.d07.test")
    stage.permit("ep1", "update.*.d07.test")
    stage.resolve("ep1", "update.a.b.d07.test")
    stage.assert_passes("ep1", at["update.a.b.d07.test"])


@pytest.mark.parametrize(
    "domain",
    ["g*.test", "*.*.test", "a.*", "", "a..b", "x" * 64 + ".test", ".".join(["label" * 4] * 13)],
    ids=["partial", "two", "last", "empty", "empty-label", "long-label", "long-name"],
)
def test_d08_a_bad_pattern_is_refused_by_field_and_the_rest_stays_in_force(stage: Stage, tmp_path: Path, domain: str):
    address = stage.fresh4()
    stage.server.address("d08.test", address)
    stage.permit("ep1", "d08.test")
    stage.put("policy-bad", policy("bad", "ep2", [domain]) | {"kind": "NetworkPolicy"}, wait=False)
    del stage.policies["policy-bad"]
    try:
        bad = tmp_path / "bad.yaml"
        bad.write_text(yaml.safe_dump(policy("bad", "ep2", [domain])))
        done = program("validate", str(bad), "-o", "json", check=False)
        assert done.returncode == 1
        assert "spec.egress[2].destination.domains[0]" in done.stdout
        stage.wait_in_force()
        stage.resolve("ep1", "d08.test")
        stage.assert_passes("ep1", address)
    finally:
        (stage.resources / "policy-bad.yaml").unlink()


def test_d09_case_does_not_matter(stage: Stage):
    address = stage.fresh4()
    stage.server.address("www.d09.test", address)
    stage.permit("ep1", "www.d09.test")
    reply = stage.ask("ep1", "WwW.D09.tEsT")
    assert str(reply.q.qname) == "WwW.D09.tEsT."
    stage.assert_passes("ep1", address)


def test_d10_a_name_in_its_own_script_is_its_ascii_form(stage: Stage):
    address = stage.fresh4()
    stage.server.address("xn--bcher-kva.d10.test", address)
    stage.permit("ep1", "bücher.d10.test")
    stage.resolve("ep1", "xn--bcher-kva.d10.test")
    stage.assert_passes("ep1", address)
    assert "xn--bcher-kva.d10.test" in str(stage.agent.get("sets"))


def test_d11_underscores_are_letters(stage: Stage):
    at = _wildcard_addresses(stage, "_svc._tcp.d11.test", "a_b.d11b.test")
    stage.permit("ep1", "*.d11.test", "a_b.d11b.test")
    for name, address in at.items():
        stage.resolve("ep1", name)
        stage.assert_passes("ep1", address)


def test_d12_a_dot_inside_a_label_is_no_label_end(stage: Stage):
    address = stage.fresh4()
    name = dnslib.DNSLabel([b"evil.d12", b"test"])
    stage.server.script(str(name), "A", Step(answer=[f"evil\\.d12.test 60 A {address}"]))
    stage.permit("ep1", "*.d12.test")
    assert stage.resolve("ep1", name) == [address]
    stage.assert_denied("ep1", address)


def test_d13_a_trailing_dot_is_the_same_name(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d13.test", address)
    stage.permit("ep1", "d13.test.")
    stage.resolve("ep1", "d13.test")
    stage.assert_passes("ep1", address)


def test_d14_a_search_list_ends_at_the_name(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d14.test", address)
    stage.permit("ep1", "d14.test")
    started = time.monotonic()
    # glibc asks one after the other; musl asks both suffixes at once and takes the first that is there.
    assert stage.ask("ep1", "d14.test.ns.svc.cluster.local").header.rcode == dnslib.RCODE.NXDOMAIN
    assert stage.resolve("ep1", "d14.test") == [address]
    stage.assert_passes("ep1", address)
    assert time.monotonic() - started < 1
