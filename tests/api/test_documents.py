"""What the API shows of a node's state, field by field."""

from ipaddress import ip_address, ip_network

from nft.counts import Count
from policy.rules import (
    Action,
    AddressPort,
    CompiledPolicy,
    CompiledRule,
    Direction,
    DomainSet,
    DomainSetID,
    Endpoint,
    EndpointID,
    EndpointPolicy,
    EndpointTier,
    IPSetID,
    IPSetKind,
    NodeState,
    PolicyID,
    RuleID,
    Stage,
)
from reconcile.instant import WallInstant
from tests.render.states import host, policy, state, tier
from tidegate.api import documents
from tidegate.api.limits import LimitView
from tidegate.api.metrics import metrics_text
from tidegate.api.views import ConnectionsView, GenerationView, ModeView, PacketsView, QueueView, StatusView, timestamp
from tidegate.render import RenderSettings, names
from tidegate.sync.conditions import Condition, ConditionType
from tidegate.sync.progress import LastApply

P, PROFILE = PolicyID("p", "a", "NetworkPolicy"), PolicyID("open", "", "Profile")
RULE = RuleID("default", P, Direction.EGRESS, 0)
STATE = NodeState(
    endpoints={
        EndpointID("a/x"): EndpointPolicy(
            endpoint=Endpoint(
                id=EndpointID("a/x"), namespace="a", name="x", node="n", interface_name="cali-x",
                addresses=(ip_address("10.0.1.2"),),
            ),
            tiers=(EndpointTier(name="default", default_action=Action.DENY, egress=(P,)),),
            profiles=(PROFILE,),
        )
    },
    policies={
        PROFILE: CompiledPolicy(id=PROFILE, tier=""),
        P: CompiledPolicy(id=P, tier="default", egress=(CompiledRule(id=RULE, action=Action.ALLOW),)),
    },
    ip_sets={
        IPSetID("s:1"): (IPSetKind.NETS, frozenset({ip_network("10.0.0.0/8")})),
        IPSetID("n:2"): (IPSetKind.PORTS, frozenset({AddressPort(ip_address("10.0.0.1"), 6, 80)})),
    },
    domain_sets={DomainSetID("d:1"): DomainSet(id=DomainSetID("d:1"), patterns=frozenset({"b.test", "*.a.test"}))},
)  # fmt: skip
STATUS = StatusView(
    ready=True,
    in_sync=True,
    node="n",
    version="1",
    pid=7,
    started_at=WallInstant(0),
    generation=GenerationView(wanted=3, applied=2, packets=1),
    last_apply=LastApply(generation=2, seconds=0.01),
    mode=ModeView(wanted="DelayDNSResponse", in_force="NoDelay", reason="no queue"),
    trusted_servers=("10.0.53.53:53",),
    features={"native_queue": False},
    encodings={"queue": "compat"},
    packets=PacketsView(
        state="running",
        pid=8,
        counters={"guard-private": 4},
        queues=[QueueView(number=101, waiting=1, dropped=2, undelivered=3)],
    ),
    connections=ConnectionsView(on_policy_change="Terminate", judged_by=2, judged=9, ended=4, last_look_seconds=0.1),
    counts={"endpoints": 1},
    counters={"applies": 5, "apply_seconds": 0.25},
    limits=[LimitView(endpoint="a/x", name="egressMaxConnections", limit=7, burst=None, dropped=9)],
    full_sets={"held-rate": 0, "tcp-rate": 6},
    conditions=[
        Condition(type=ConditionType.APPLIED, is_true=True, reason="Done"),
        Condition(type=ConditionType.STALE_RESOURCE, is_true=True, reason="Invalid", subject="a.yaml", path="spec"),
    ],
)


def test_an_endpoint_shows_what_decides_about_it():
    (shown,) = documents.endpoints(STATE)
    assert shown["id"] == "a/x"
    assert shown["interface"] == "cali-x"
    assert shown["addresses"] == ["10.0.1.2"]
    reference = {"kind": "NetworkPolicy", "namespace": "a", "name": "p"}
    assert shown["tiers"] == [{"name": "default", "default_action": "Deny", "ingress": [], "egress": [reference]}]
    assert shown["profiles"] == ["open"]


def test_policies_come_before_profiles_with_counts_by_rule_and_end_of_tier():
    end = names.comment(names.end_of_tier("default", P, Direction.EGRESS))
    counts = {names.comment(RULE): Count(5, 300), end: Count(1, 60)}
    first, second = documents.policies(STATE, counts)
    assert (first["name"], first["endpoints"], second["name"]) == ("p", 1, "open")
    assert first["rules"] == [
        {"direction": "egress", "index": 0, "action": "Allow", "packets": 5, "bytes": 300},
        {"direction": "egress", "index": -1, "action": "EndOfTier", "packets": 1, "bytes": 60},
    ]


def test_a_rule_that_was_never_counted_shows_zeros():
    assert documents.policies(STATE, {})[0]["rules"] == [
        {"direction": "egress", "index": 0, "action": "Allow", "packets": 0, "bytes": 0}
    ]


def test_sets_show_members_or_patterns_and_their_names_in_the_kernel():
    shown = {item["id"]: item for item in documents.sets(STATE, RenderSettings())}
    assert shown["s:1"]["members"] == ["10.0.0.0/8"]
    assert shown["n:2"]["members"] == ["10.0.0.1 protocol 6 port 80"]
    assert shown["d:1"]["patterns"] == ["*.a.test", "b.test"]
    assert shown["d:1"]["kernel_sets"] == [names.domain_set(DomainSetID("d:1"), version) for version in (4, 6)]


def test_the_status_document_has_what_the_contract_names():
    shown = STATUS.document()
    assert shown["generation"] == {"wanted": 3, "applied": 2, "packets": 1}
    assert shown["last_apply"] == {"generation": 2, "seconds": 0.01}
    assert shown["packets"]["counters"] == {"guard-private": 4}
    assert shown["started_at"] == "1970-01-01T00:00:00.000Z"
    assert [item["normal"] for item in shown["conditions"]] == [True, False]
    assert shown["conditions"][1] | {"since": ""} == {
        "type": "StaleResource", "status": "True", "normal": False, "reason": "Invalid", "message": "", "since": "",
        "subject": "a.yaml", "path": "spec",
    }  # fmt: skip


def test_timestamps_are_rfc_3339_in_utc():
    assert timestamp(WallInstant(1_700_000_000.5)) == "2023-11-14T22:13:20.500Z"


def test_metrics_are_the_status_in_prometheus_words():
    lines = metrics_text(STATUS).splitlines()
    for line in (
        "tidegate_ready 1.0",
        'tidegate_generation{stage="applied"} 2.0',
        'tidegate_objects{kind="endpoints"} 1.0',
        "tidegate_applies_total 5.0",
        "tidegate_apply_seconds_total 0.25",
        'tidegate_packets_events_total{event="guard-private"} 4.0',
        'tidegate_queue_dropped_total{queue="101"} 2.0',
        'tidegate_limited_packets_total{endpoint="a/x",limit="egressMaxConnections"} 9.0',
        'tidegate_full_set_packets_total{set="tcp-rate"} 6.0',
        'tidegate_abnormal_conditions{type="StaleResource"} 1.0',
        'tidegate_abnormal_conditions{type="Applied"} 0.0',
    ):
        assert line in lines


def test_a_host_endpoint_shows_its_interfaces_and_whom_it_asks_where():
    asked = EndpointTier(name="default", default_action=Action.DENY, ingress=(P,))
    shown = documents.endpoints(
        state(hosts=(host("h", "eth0", "eth1", normal=(asked,), pre_dnat=(asked,), profiles=("open",)), host("idle")))
    )
    assert [(item["id"], item["kind"], item["interface"], item["active"]) for item in shown] == [
        ("h", "HostEndpoint", "eth0, eth1", True),
        ("idle", "HostEndpoint", "", False),
    ]
    assert shown[0]["preDNAT"] == shown[0]["tiers"]
    assert shown[0]["profiles"] == ["open"]
    assert shown[0]["forward"] == shown[0]["untracked"] == []


def test_a_policy_of_host_endpoints_counts_them_and_says_where_it_acts():
    early = policy("early", stage=Stage.PRE_DNAT, ingress=({},))
    asked = (tier(ingress=(early.id,)),)
    known = state(hosts=(host("a", "eth0", pre_dnat=asked), host("b", "eth1", pre_dnat=asked)), policies=(early,))
    [shown] = documents.policies(known, {})
    assert (shown["endpoints"], shown["stage"]) == (2, "preDNAT")
