"""Records name both ends, tell each local end's own reasons, and add up as far as asked."""

from ipaddress import ip_address

import pytest

from nfq.flow_events import Counts
from nfq.packet import FiveTuple
from reconcile.instant import WallInstant
from tests.policy import documents
from tidegate.flows import tracer as flow_tracer
from tidegate.flows.assembly import Assembly
from tidegate.flows.directory import Directory, name_prefix
from tidegate.flows.record import Level, PartyKind, Reporter
from tidegate.flows.table import NO_LOSS, Fate, FlowKey, Loss, Totals, Window
from tidegate.flows.tracer import Asked, Known, Tracer

WEB, DB, WORLD, VIP = "10.0.1.2", "10.0.1.3", "198.51.100.7", "10.96.0.1"
ALLOW_TCP = [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}]


def packed(text):
    return ip_address(text).packed


RESOURCES = (
    documents.endpoint("web-7d4b9c-abcde", WEB, namespace="shop", labels={"app": "web"}),
    documents.endpoint("db-0", f"{DB} fd00::3", namespace="data"),
    documents.network_set("wide", nets=["198.51.0.0/16"]),
    documents.network_set("narrow", namespace="shop", nets=["198.51.100.0/24", "2001:db8::/32"]),
    documents.policy("out", namespace="shop", selector="app == 'web'", types=["Egress"], egress=ALLOW_TCP),
    documents.resource({
        "kind": "Service", "metadata": {"name": "db", "namespace": "data"},
        "spec": {"clusterIP": VIP, "ports": [{"name": "sql", "port": 443, "protocol": "TCP"}]},
    }),
)  # fmt: skip


def key(source=WEB, destination=WORLD, port=443, *, real=None, fate=Fate.ALLOWED, protocol=6):
    flow = FiveTuple(4, protocol, packed(source), packed(destination), None, port)
    return FlowKey(fate, flow, packed(real or destination), port)


def totals(**fields):
    return Totals(40000, 1000.0, started=1, completed=1, counts=Counts(3, 300, 2, 200), **fields)


def records(*keys, allowed=Level.SOURCE_PORT, denied=Level.SOURCE_PORT, local=(WEB, DB), resources=RESOURCES):
    known = Known(resources=tuple(resources))
    tracer = Tracer(known)
    tracer.begin(())
    assembly = Assembly(
        directory=Directory(known.resources),
        tracer=tracer,
        local=frozenset(map(packed, local)),
        allowed_level=allowed,
        denied_level=denied,
    )
    window = Window(WallInstant(1000), WallInstant(1015), {item: totals() for item in keys}, NO_LOSS)
    return assembly.records(window)


def test_each_local_end_reports_for_itself():
    found, _ = records(key(destination=VIP, real=DB))
    by = {item.reporter: item for item in found}
    assert set(by) == {Reporter.SOURCE, Reporter.DESTINATION}
    assert (by[Reporter.SOURCE].packets_out, by[Reporter.SOURCE].bytes_in) == (3, 200)
    assert (by[Reporter.DESTINATION].packets_out, by[Reporter.DESTINATION].bytes_in) == (2, 300)
    assert {item.service for item in found} == {"data/db:sql"}
    assert {(item.source.name, item.destination.name) for item in found} == {("web-7d4b9c-abcde", "db-0")}
    assert by[Reporter.SOURCE].trace.enforced == ("0|default|np:shop/out|allow|0",)
    assert by[Reporter.SOURCE].trace.agrees is True


def test_who_only_forwards_has_no_reasons():
    [found], _ = records(key("192.0.2.1", WORLD))
    assert (found.reporter, found.trace.enforced, found.trace.agrees) == (Reporter.FORWARDER, (), None)


def test_a_denial_is_told_by_who_denied():
    found, _ = records(key(port=80, fate=Fate.DENIED_EGRESS), key(WEB, DB, fate=Fate.DENIED_INGRESS))
    assert [(item.reporter, item.is_allowed) for item in found] == [
        (Reporter.SOURCE, False),
        (Reporter.DESTINATION, False),
    ]
    assert found[0].trace.enforced == ("0|default|np:shop/out|deny|-1",)


def test_it_is_said_where_policy_does_not_explain_what_the_kernel_did():
    [found], _ = records(key(port=80), local=(WEB,))
    assert (found.is_allowed, found.trace.agrees) == (True, False)


def test_pods_of_one_owner_are_added_up_by_name():
    replica = documents.endpoint("web-7d4b9c-fghij", "10.0.1.9", namespace="shop", labels={"app": "web"})
    found, _ = records(
        key(), key("10.0.1.9"), key(destination="198.51.100.8"),
        allowed=Level.PREFIX, local=(WEB, "10.0.1.9"), resources=(*RESOURCES, replica),
    )  # fmt: skip
    [only] = found
    assert (only.source.name, only.source.address, only.flows, only.packets_out) == ("web-*", "", 3, 9)
    assert only.destination_port == 443
    [only], _ = records(key(), key(port=80), allowed=Level.DESTINATION_PORT, resources=RESOURCES[:4])
    assert (only.destination_port, only.flows) == (None, 2)


def test_too_many_questions_leave_records_without_reasons_and_are_counted(monkeypatch):
    monkeypatch.setattr(flow_tracer, "MAX_ASKED", 2)
    found, loss = records(*(key(port=port) for port in range(1, 6)), local=(WEB,))
    assert loss == Loss(unjudged=3)
    assert sum(not item.trace.enforced for item in found) == 3


def test_the_same_question_is_asked_once(monkeypatch):
    tracer = Tracer(Known(resources=RESOURCES))
    calls = []
    judge = flow_tracer.judge
    monkeypatch.setattr(flow_tracer, "judge", lambda *args: calls.append(1) or judge(*args))
    asked = Asked(packed(WEB), packed(WORLD), 6, 1, 443)
    for _ in range(3):
        tracer.begin([documents.learned("shop/web-7d4b9c-abcde", "a.test", WORLD)])
        assert tracer.trace(asked, Reporter.SOURCE, is_allowed=True).agrees
    assert len(calls) == 1
    tracer.begin([documents.learned("shop/web-7d4b9c-abcde", "b.test", WORLD)])
    tracer.trace(asked, Reporter.SOURCE, is_allowed=True)
    assert len(calls) == 2


def test_staged_policies_are_told_only_where_asked():
    staged = documents.resource({
        "apiVersion": "projectcalico.org/v3", "kind": "StagedNetworkPolicy", "metadata": {"name": "later", "namespace": "shop"},
        "spec": {"order": 1, "types": ["Egress"], "egress": [{"action": "Deny"}]},
    })  # fmt: skip
    asked = Asked(packed(WEB), packed(WORLD), 6, 1, 443)
    for tells, pending in ((True, ("0|default|snp:shop/later|deny|0",)), (False, ())):
        tracer = Tracer(Known(resources=(*RESOURCES, staged), tells_pending=tells))
        tracer.begin(())
        trace = tracer.trace(asked, Reporter.SOURCE, is_allowed=True)
        assert (trace.enforced, trace.pending) == (("0|default|np:shop/out|allow|0",), pending)


def test_an_icmp_rule_is_judged_by_the_type_of_the_packet():
    ping = [{"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}}]
    policy = documents.policy("ping", namespace="shop", types=["Egress"], egress=ping)
    tracer = Tracer(Known(resources=(RESOURCES[0], policy)))
    tracer.begin(())
    for kind, verdict in ((8, True), (13, False)):
        asked = Asked(packed(WEB), packed(WORLD), 1, None, None, (kind, 0))
        assert tracer.trace(asked, Reporter.SOURCE, is_allowed=True).agrees is verdict


@pytest.mark.parametrize(
    ("address", "kind", "name"),
    [
        (WEB, PartyKind.WORKLOAD, "web-7d4b9c-abcde"),
        ("fd00::3", PartyKind.WORKLOAD, "db-0"),
        (WORLD, PartyKind.NETWORK_SET, "narrow"),
        ("198.51.1.1", PartyKind.NETWORK_SET, "wide"),
        ("2001:db8::1", PartyKind.NETWORK_SET, "narrow"),
        ("8.8.8.8", PartyKind.NETWORK, ""),
    ],
)
def test_an_address_belongs_to_a_workload_or_to_the_narrowest_set(address, kind, name):
    found = Directory(RESOURCES).party(packed(address))
    assert (found.kind, found.name, found.address) == (kind, name, address)


def test_strangers_are_public_or_private():
    directory = Directory(())
    assert [directory.party(packed(text)).name_aggr for text in ("8.8.8.8", "10.9.9.9", "fd00::1")] == [
        "pub",
        "pvt",
        "pvt",
    ]


def test_a_host_endpoint_has_its_addresses():
    found = Directory([documents.host_endpoint("eth0-n1", "192.0.2.5", node="n1")]).party(packed("192.0.2.5"))
    assert (found.kind, found.name) == (PartyKind.HOST, "eth0-n1")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("web-7d4b9c-abcde", "web-*"),
        ("agent-x2x4z", "agent-*"),
        ("db-0", "db-*"),
        ("db-12", "db-*"),
        ("plain", "plain"),
    ],
)
def test_names_of_replicas_have_a_common_beginning(name, prefix):
    assert name_prefix(name) == prefix
