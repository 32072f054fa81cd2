"""Limits as documents ask for them: fields, annotations, quantities, and what is told where one is not enforced."""

import pytest

from policy.limits import UNLIMITED, Limits, Rate, TrafficLimits
from policy.resources.qos import QoSControls, asked_limits, quantity

CALICO = "qos.projectcalico.org/"
OURS = "qos.tidegate.io/"


def asked(annotations=None, **fields):
    return asked_limits(QoSControls(**fields), annotations or {})


def test_nothing_asked_is_no_limit_and_no_fault():
    found = asked({"other.example/ingressPacketRate": "5"})
    assert (found.limits, found.faults) == (UNLIMITED, ())


def test_fields_and_annotations_ask_for_the_same():
    by_fields = asked(ingress_packet_rate=100, ingress_packet_burst=20, egress_max_connections=7)
    by_annotations = asked(
        {CALICO + "ingressPacketRate": "100", CALICO + "ingressPacketBurst": "20", CALICO + "egressMaxConnections": "7"}
    )
    limits = TrafficLimits(ingress=Limits(packets=Rate(100, 20)), egress=Limits(max_connections=7))
    assert by_fields == by_annotations
    assert (by_fields.limits, by_fields.faults) == (limits, ())


def test_a_field_stands_before_the_annotation_of_the_same_name():
    found = asked({CALICO + "egressMaxConnections": "9"}, egress_max_connections=7)
    assert found.limits.egress.max_connections == 7


def test_a_packet_rate_without_a_burst_has_calicos():
    assert asked({CALICO + "egressPacketRate": "1k"}).limits.egress.packets == Rate(1000, 5)


def test_connections_a_second_have_a_seconds_worth_at_once_unless_told():
    assert asked({OURS + "ingressConnectionRate": "50"}).limits.ingress.connections == Rate(50, 50)
    told = {OURS + "ingressConnectionRate": "50", OURS + "ingressConnectionBurst": "3"}
    assert asked(told).limits.ingress.connections == Rate(50, 3)


def test_a_workload_can_say_that_it_has_no_rate_of_connections():
    assert asked({OURS + "egressConnectionRate": "0"}).limits.egress.connections == Rate(0, 0)


@pytest.mark.parametrize(
    "name", ["ingressBandwidth", "egressBurst", "ingressPeakrate", "egressMinburst", "dscp", "dcsp"]
)
def test_what_is_not_enforced_is_named(name):
    found = asked({CALICO + name: "1M"})
    assert (found.limits, found.faults) == (UNLIMITED, (f"{CALICO}{name} is not enforced",))


def test_fields_that_are_not_enforced_are_named_as_documents_spell_them():
    found = asked(ingress_bandwidth=5, egress_minburst=3, dscp="EF")
    assert found.faults == (
        "dscp is not enforced",
        "egressMinburst is not enforced",
        "ingressBandwidth is not enforced",
    )


@pytest.mark.parametrize("text", ["", "ten", "1 k", "NaN", "1e999", "9" * 100, "k"])
def test_an_annotation_that_is_no_number_is_named_and_limits_nothing(text):
    found = asked({CALICO + "egressPacketRate": text})
    assert found.limits == UNLIMITED
    assert "cannot read" in found.faults[0]


@pytest.mark.parametrize(("text", "rate"), [("0", 1), ("-5", 1), ("10001", 10_000), ("1E", 10_000)])
def test_a_number_outside_its_range_is_the_nearest_and_told(text, rate):
    found = asked({CALICO + "egressPacketRate": text})
    assert found.limits.egress.packets == Rate(rate, 5)
    assert f"is enforced as {rate}" in found.faults[0]


def test_a_burst_without_a_rate_is_named():
    found = asked({OURS + "egressConnectionBurst": "5"}, ingress_packet_burst=3)
    assert len(found.faults) == 2
    assert all("without a rate" in fault for fault in found.faults)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("1k", 1000), ("1Ki", 1024), ("1500m", 2), ("0.1k", 100), ("1e3", 1000), ("2M", 2_000_000), (".5", 1)],
)
def test_quantities_are_whole_numbers_rounded_up(text, value):
    assert quantity(text) == value
