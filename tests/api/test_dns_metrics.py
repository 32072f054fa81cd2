"""What is learned from DNS as metrics: every one that is promised, with labels that nobody outside can multiply."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from tidegate.api.dns_metrics import dns_metrics
from tidegate.api.views import PacketsView

DNS = {
    "answers": [["10.0.53.53", 53, 0, 7], ["fd00:53::53", 53, 3, 2]],
    "answer_seconds": {"buckets": [[0.001, 4.0], [0.01, 6.0]], "count": 7, "sum": 0.5},
    "pending_queries": 3,
    "endpoints": [["test/a", 5, 9]],
}
COUNTERS = {
    "elements-written": 10, "elements-written-6": 4, "unsolicited": 2, "guard-private": 3, "cap-endpoint": 1,
    "denied-released": 5, "denied-dropped": 6, "answers-rebinds": 1, "journal-failures": 8,
}  # fmt: skip


class _Given(Collector):
    def __init__(self, packets):
        self._packets = packets

    def collect(self):
        return dns_metrics(self._packets)


def lines(**fields):
    registry = CollectorRegistry()
    registry.register(_Given(PacketsView(**{"state": "running", "counters": COUNTERS, "dns": DNS} | fields)))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_every_metric_is_there():
    found = lines()
    for line in (
        'tidegate_dns_answers_total{rcode="0",server="10.0.53.53:53"} 7.0',
        'tidegate_dns_answers_total{rcode="3",server="[fd00:53::53]:53"} 2.0',
        'tidegate_dns_answer_seconds_bucket{le="0.001"} 4.0',
        'tidegate_dns_answer_seconds_bucket{le="+Inf"} 7.0',
        "tidegate_dns_answer_seconds_count 7.0",
        "tidegate_dns_answer_seconds_sum 0.5",
        "tidegate_dns_pending_queries 3.0",
        'tidegate_dns_learned_total{family="4"} 6.0',
        'tidegate_dns_learned_total{family="6"} 4.0',
        'tidegate_dns_unlearned_total{reason="unsolicited"} 2.0',
        'tidegate_dns_unlearned_total{reason="guard-private"} 3.0',
        'tidegate_dns_unlearned_total{reason="late"} 0.0',
        'tidegate_dns_caps_total{kind="endpoint"} 1.0',
        'tidegate_dns_first_packets_total{outcome="released"} 5.0',
        'tidegate_dns_first_packets_total{outcome="dropped"} 6.0',
        'tidegate_dns_rebinds_total{reader="answers"} 1.0',
        "tidegate_dns_journal_failures_total 8.0",
        'tidegate_dns_names{endpoint="test/a"} 5.0',
        'tidegate_dns_addresses{endpoint="test/a"} 9.0',
    ):
        assert line in found


def test_without_a_packet_process_there_is_nothing():
    assert lines(state="absent") == []


def test_a_packet_process_that_has_not_said_anything_yet_has_zeros():
    found = lines(counters={}, dns={})
    assert "tidegate_dns_pending_queries 0.0" in found
    assert not any("server=" in line for line in found)
