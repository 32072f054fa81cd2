"""Scenarios D15 to D26: aliases, families, and records that do not belong."""

import itertools

import dnslib
import pytest

from tests.lab.scripted import Step, udp_client
from tests.scenarios.conftest import Stage

pytestmark = pytest.mark.kernel


def _chain(first: str, length: int, address: str) -> list[str]:
    names = [first, *(f"c{index}.{first}" for index in range(1, length + 1))]
    aliases = [f"{owner} 60 CNAME {target}." for owner, target in itertools.pairwise(names)]
    return [*aliases, f"{names[-1]} 60 A {address}"]


def test_d15_an_alias_is_followed(stage: Stage):
    address = stage.fresh4()
    stage.server.script("d15.test", "A", Step(answer=["d15.test 60 CNAME c.d15cdn.", f"c.d15cdn 60 A {address}"]))
    stage.permit("ep1", "d15.test")
    stage.resolve("ep1", "d15.test")
    stage.assert_passes("ep1", address)


def test_d16_the_order_of_a_chain_does_not_matter(stage: Stage):
    address = stage.fresh4()
    stage.server.script("d16.test", "A", Step(answer=list(reversed(_chain("d16.test", 8, address)))))
    stage.permit("ep1", "d16.test")
    stage.resolve("ep1", "d16.test")
    stage.assert_passes("ep1", address)


def test_d17_a_chain_too_deep_is_delivered_and_teaches_nothing(stage: Stage):
    address = stage.fresh4()
    stage.server.script("d17.test", "A", Step(answer=_chain("d17.test", 20, address)))
    stage.permit("ep1", "d17.test")
    with stage.counting("chain-too-long"):
        assert stage.resolve("ep1", "d17.test") == [address]
    stage.assert_denied("ep1", address)


def test_d17_a_chain_of_sixteen_is_followed(stage: Stage):
    address = stage.fresh4()
    stage.server.script("d17c.test", "A", Step(answer=_chain("d17c.test", 16, address)))
    stage.permit("ep1", "d17c.test")
    stage.resolve("ep1", "d17c.test")
    stage.assert_passes("ep1", address)


def test_d17_a_loop_is_delivered_and_teaches_nothing(stage: Stage):
    stage.server.script(
        "d17a.test", "A", Step(answer=["d17a.test 60 CNAME d17b.test.", "d17b.test 60 CNAME d17a.test."])
    )
    stage.permit("ep1", "d17a.test")
    with stage.counting("chain-loop"):
        assert len(stage.ask("ep1", "d17a.test").rr) == 2
    assert "d17a.test" not in {entry["name"] for entry in stage.agent.get("names")}


def test_d18_the_target_of_an_alias_is_remembered_for_its_workload(stage: Stage):
    address, other = stage.fresh4(), stage.fresh4()
    stage.server.script("d18.test", "A", Step(answer=["d18.test 60 CNAME c.d18cdn."]))
    stage.server.address("c.d18cdn", address)
    stage.server.address("d.d18cdn", other)
    stage.permit("ep1", "d18.test")
    stage.permit("ep2", "d18.test")
    stage.resolve("ep1", "d18.test")
    for target in ("c.d18cdn", "d.d18cdn"):
        stage.resolve("ep1", target)
        stage.resolve("ep2", target)
    stage.assert_passes("ep1", address)
    stage.assert_denied("ep1", other)
    stage.assert_denied("ep2", address)  # it was never told the alias


def test_d18_a_restart_forgets_no_alias(stage: Stage):
    address = stage.fresh4()
    stage.server.script("d18r.test", "A", Step(answer=["d18r.test 300 CNAME c.d18rcdn."]))
    stage.server.address("c.d18rcdn", address)
    stage.permit("ep1", "d18r.test")
    stage.resolve("ep1", "d18r.test")
    stage.until(
        lambda: b"d18rcdn" in (stage.agent.scratch / "state" / "names.journal").read_bytes(), 5, "it is written"
    )
    stage.replace_packet_process()
    stage.resolve("ep1", "c.d18rcdn")
    stage.assert_passes("ep1", address)


def test_d18_without_memory_of_aliases_the_target_stays_closed(stage: Stage):
    stage.run_agent(dnsCNAMEMemory=False)
    address = stage.fresh4()
    stage.server.script("d18o.test", "A", Step(answer=["d18o.test 60 CNAME c.d18ocdn."]))
    stage.server.address("c.d18ocdn", address)
    stage.permit("ep1", "d18o.test")
    stage.resolve("ep1", "d18o.test")
    stage.resolve("ep1", "c.d18ocdn")
    stage.assert_denied("ep1", address)


def test_d19_an_unrelated_owner_in_the_answer_is_refused(stage: Stage):
    good, other = stage.fresh4(), stage.fresh4()
    stage.server.script("d19.test", "A", Step(answer=[f"d19.test 60 A {good}", f"d19v.test 60 A {other}"]))
    stage.permit("ep1", "d19.test", "d19v.test")
    with stage.counting("out-of-chain"):
        stage.resolve("ep1", "d19.test")
    stage.assert_passes("ep1", good)
    stage.assert_denied("ep1", other)


@pytest.mark.parametrize("section", ["additional", "authority"])
def test_d20_other_sections_teach_nothing(stage: Stage, section: str):
    good, other = stage.fresh4(), stage.fresh4()
    name = f"d20{section}.test"
    stage.server.script(name, "A", Step(answer=[f"{name} 60 A {good}"], **{section: [f"v.{name} 60 A {other}"]}))
    stage.permit("ep1", name, f"v.{name}")
    stage.resolve("ep1", name)
    stage.assert_passes("ep1", good)
    stage.assert_denied("ep1", other)


@pytest.mark.parametrize("same_identifier", [False, True])
def test_d22_both_families_asked_at_once_from_one_port(stage: Stage, same_identifier: bool):
    four, six = stage.fresh4(), stage.fresh6()
    name = f"d22{int(same_identifier)}.test"
    stage.server.address(name, four)
    stage.server.script(name, "AAAA", Step(answer=[f"{name} 60 AAAA {six}"]))
    stage.permit("ep1", name)
    with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
        client.settimeout(2)
        for offset, qtype in enumerate((dnslib.QTYPE.A, dnslib.QTYPE.AAAA)):
            query = dnslib.DNSRecord(q=dnslib.DNSQuestion(name, qtype))
            query.header.id = 4711 if same_identifier else 4711 + offset
            client.send(query.pack())
        kinds = {dnslib.DNSRecord.parse(client.recv(4096)).rr[0].rtype for _ in range(2)}
    assert kinds == {dnslib.QTYPE.A, dnslib.QTYPE.AAAA}
    stage.assert_passes("ep1", four)
    stage.assert_passes("ep1", six)


def test_d25_what_a_service_record_points_at_opens_nothing(stage: Stage):
    address = stage.fresh4()
    stage.server.script(
        "_s._tcp.d25.test",
        "SRV",
        Step(answer=["_s._tcp.d25.test 60 SRV 0 0 443 h.d25o."], additional=[f"h.d25o 60 A {address}"]),
    )
    stage.permit("ep1", "_s._tcp.d25.test")
    assert len(stage.ask("ep1", "_s._tcp.d25.test", "SRV").rr) == 1
    stage.assert_denied("ep1", address)


@pytest.mark.parametrize(
    ("qtype", "rdata"), [("TXT", '"198.51.100.1"'), ("MX", "10 m.d26.test."), ("PTR", "d26.test.")]
)
def test_d26_records_without_an_address_are_delivered_and_open_nothing(stage: Stage, qtype: str, rdata: str):
    name = f"d26{qtype.lower()}.test"
    stage.server.script(name, qtype, Step(answer=[f"{name} 60 {qtype} {rdata}"]))
    stage.permit("ep1", name)
    assert len(stage.ask("ep1", name, qtype).rr) == 1
    assert name not in {entry["name"] for entry in stage.agent.get("names")}


@pytest.mark.parametrize("is_synthesised", [True, False])
def test_d21_a_renamed_tree_is_followed(stage: Stage, is_synthesised: bool):
    address, zone = stage.fresh4(), f"d21{int(is_synthesised)}.test"
    alias = [f"x.{zone} 60 CNAME x.e.d21cdn."] if is_synthesised else []
    lines = [f"{zone} 60 DNAME e.d21cdn.", *alias, f"x.e.d21cdn 60 A {address}"]
    stage.server.script(f"x.{zone}", "A", Step(answer=lines))
    stage.permit("ep1", f"*.{zone}")
    stage.ask("ep1", f"x.{zone}")
    stage.assert_passes("ep1", address)


@pytest.mark.parametrize("is_learned", [True, False])
def test_d24_hints_of_service_bindings(stage: Stage, is_learned: bool):
    stage.run_agent(dnsLearnHints=is_learned)
    address, name = stage.fresh4(), f"d24{int(is_learned)}.test"
    stage.server.script(name, "HTTPS", Step(answer=[f"{name} 60 HTTPS 1 . ipv4hint={address}"]))
    stage.permit("ep1", name)
    assert len(stage.ask("ep1", name, "HTTPS").rr) == 1
    if is_learned:
        stage.assert_passes("ep1", address)
    else:
        stage.assert_denied("ep1", address)


def test_d54_an_answer_in_fragments_is_put_together_and_learned(stage: Stage):
    """3 kB over a link of 1,500 bytes: conntrack puts the fragments together before anybody looks."""
    addresses = [f"2001:db8:1::54:{number:x}" for number in range(100)]
    stage.server.script("d54.test", "AAAA", Step(answer=[f"d54.test 60 AAAA {address}" for address in addresses]))
    stage.permit("ep1", "d54.test")
    assert stage.resolve("ep1", "d54.test", "AAAA") == addresses
    stage.assert_passes("ep1", addresses[-1])
