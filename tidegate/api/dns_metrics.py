"""Metrics of learning from DNS, from what the packet process says of itself. Pure.

Labels are bounded by the configuration (servers, queues), by the code (reasons, kinds), or by the packet process (the
endpoints with the most addresses): nothing that a workload asks, or a server answers, makes a new series.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tidegate.api.views import PacketsView

_PREFIX = "tidegate_dns"
_UNLEARNED = (
    "untrusted-server", "unknown-endpoint", "malformed", "not-an-answer", "wrong-class", "truncated", "negative",
    "unsolicited", "wrong-name", "late", "replay", "chain-loop", "chain-too-long", "out-of-chain", "no-datagram",
)  # fmt: skip
"""Why an answer, or a part of it, teaches nothing: counters of `dnsagent.learn`; those of guards stand beside them."""
_HELD = {"released": "denied-released", "dropped": "denied-dropped", "duplicate": "denied-duplicate"}
_REBINDS = "-rebinds"


def dns_metrics(packets: PacketsView) -> Iterator[Metric]:
    """All of them; nothing where there is no packet process."""
    if packets.state != "running":
        return
    yield from _of_answers(packets.dns)
    yield from _of_counters(packets.counters)
    yield from _of_endpoints(packets.dns)


def _of_answers(dns: Mapping[str, Any]) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        f"{_PREFIX}_answers", "Answers of trusted servers, and in their name", labels=["server", "rcode"]
    )
    for address, port, rcode, count in dns.get("answers", ()):
        server = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        answers.add_metric([server, str(rcode)], count)
    yield answers
    seconds = dns.get("answer_seconds")
    if seconds:
        held = HistogramMetricFamily(
            f"{_PREFIX}_answer_seconds", "From reading a held answer to its verdict, with what it teaches in the kernel"
        )
        buckets = [(str(bound), count) for bound, count in seconds["buckets"]]
        held.add_metric([], [*buckets, ("+Inf", seconds["count"])], seconds["sum"])
        yield held
    text = "Questions that wait for their answer, and those remembered to know a second answer by"
    yield GaugeMetricFamily(f"{_PREFIX}_pending_queries", text, float(dns.get("pending_queries", 0)))


def _of_counters(counters: Mapping[str, int]) -> Iterator[Metric]:
    six = counters.get("elements-written-6", 0)
    learned = {"4": counters.get("elements-written", 0) - six, "6": six}
    yield _counters("learned", "Addresses written into sets, or written again", "family", learned)
    guards = [name for name in counters if name.startswith("guard-")]
    unlearned = {reason: counters.get(reason, 0) for reason in (*_UNLEARNED, *guards)}
    yield _counters("unlearned", "Answers that taught nothing, or less than they might", "reason", unlearned)
    caps = {name.removeprefix("cap-"): count for name, count in counters.items() if name.startswith("cap-")}
    yield _counters("caps", "What found a bound reached", "kind", caps)
    held = {outcome: counters.get(name, 0) for outcome, name in _HELD.items()}
    yield _counters("first_packets", "Held packets that policy would deny, by what became of them", "outcome", held)
    rebinds = {name.removesuffix(_REBINDS): count for name, count in counters.items() if name.endswith(_REBINDS)}
    yield _counters("rebinds", "Times that a queue or the log of queries was bound anew", "reader", rebinds)
    text = "Times that the journal of names could not be written"
    yield CounterMetricFamily(f"{_PREFIX}_journal_failures", text, counters.get("journal-failures", 0))


def _of_endpoints(dns: Mapping[str, Any]) -> Iterator[Metric]:
    names = GaugeMetricFamily(f"{_PREFIX}_names", "Names remembered, of those with most addresses", labels=["endpoint"])
    addresses = GaugeMetricFamily(f"{_PREFIX}_addresses", "Addresses remembered, likewise", labels=["endpoint"])
    for endpoint, name_count, address_count in dns.get("endpoints", ()):
        names.add_metric([endpoint], name_count)
        addresses.add_metric([endpoint], address_count)
    yield from (names, addresses)


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
