"""Metrics in Prometheus' text form, made from the status at the moment of the scrape: nothing is counted twice."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate.api.dns_metrics import dns_metrics
from tidegate.api.tunnel_metrics import tunnel_metrics
from tidegate.api.views import StatusView

_COUNTER_HELP = {
    "applies": "Transactions that brought the kernel up to date",
    "apply_failures": "Transactions that the kernel refused",
    "repairs": "Changes of our table by other programs that were put right",
    "packets_restarts": "Starts of the packet process beyond the first",
    "connections_cut": "Connections of removed endpoints that were deleted",
    "connections_judged": "Open connections looked at because policy changed",
    "connections_ended": "Open connections that policy stopped allowing, and that were ended",
    "connections_excused": "Open connections that stay because of a name whose time is over",
    "connections_unguarded": "Connections ended without memory of their far end, which had no room",
    "flow_records": "Flow records written",
    "flow_event_overruns": "Times that events of connections were lost because nobody read them in time",
    "flow_denied_packets_lost": "Denied packets that no flow record counts",
    "flows_without_room": "Connections and denied packets for which flow records had no room",
    "flow_windows_lost": "Intervals of which there are no flow records",
    "flow_records_without_trace": "Flow records that do not say why",
    "revocation_looks": "Looks at open connections",
    "revocation_failures": "Looks that failed, and were repeated",
    "revocation_widened": "Looks at all connections because too many addresses changed",
}
_HISTORY_HELP = {
    "apply_seconds": "Time spent in applying",
    "revocation_seconds": "Time spent in looking at open connections",
}


class _StatusCollector(Collector):
    """Turns one status into metrics."""

    def __init__(self, status: StatusView, more: Iterable[Metric]) -> None:
        self._status = status
        self._more = more

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        status = self._status
        yield GaugeMetricFamily("tidegate_ready", "Whether policy is in force", float(status.ready))
        yield GaugeMetricFamily("tidegate_in_sync", "Whether the sources were read to the end", float(status.in_sync))
        yield _gauges("tidegate_generation", "Generations of policy", "stage", _generations(status))
        yield _gauges("tidegate_objects", "What is in force, by kind", "kind", status.counts)
        yield _gauges("tidegate_abnormal_conditions", "Conditions an operator should see", "type", _abnormal(status))
        for name, value in status.counters.items():
            text = _COUNTER_HELP.get(name) or _HISTORY_HELP.get(name) or name
            yield CounterMetricFamily(f"tidegate_{name}", text, value)
        yield from self._limits()
        yield from self._packets()
        yield from dns_metrics(status.packets)
        yield from tunnel_metrics(self._status.tunnels)
        yield from self._more

    def _limits(self) -> Iterator[Metric]:
        text = "Packets beyond a limit on a workload's traffic"
        limited = CounterMetricFamily("tidegate_limited_packets", text, labels=["endpoint", "limit"])
        for item in self._status.limits:
            limited.add_metric([item.endpoint, item.name], item.dropped)
        yield limited
        text = "Packets that found a set of rates full"
        yield _counters("tidegate_full_set_packets", text, "set", self._status.full_sets)

    def _packets(self) -> Iterator[Metric]:
        packets = self._status.packets
        yield GaugeMetricFamily(
            "tidegate_packets_running", "Whether the packet process is there", float(packets.state == "running")
        )
        yield _counters("tidegate_packets_events", "What the packet process counted", "event", packets.counters)
        queues = packets.queues
        waiting = {str(queue.number): queue.waiting for queue in queues}
        yield _gauges("tidegate_queue_waiting", "Packets held in the kernel", "queue", waiting)
        dropped = {str(queue.number): queue.dropped for queue in queues}
        yield _counters("tidegate_queue_dropped", "Packets that found the queue full", "queue", dropped)
        undelivered = {str(queue.number): queue.undelivered for queue in queues}
        yield _counters("tidegate_queue_undelivered", "Packets that found the socket full", "queue", undelivered)


def metrics_text(status: StatusView, more: Iterable[Metric] = ()) -> str:
    """The page for the scraper, with what the status does not have."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status, tuple(more)))
    return generate_latest(registry).decode()


def _generations(status: StatusView) -> dict[str, int]:
    generation = status.generation
    return {"wanted": generation.wanted, "applied": generation.applied, "packets": generation.packets}


def _abnormal(status: StatusView) -> dict[str, int]:
    found: dict[str, int] = {}
    for condition in status.conditions:
        found[condition.type] = found.get(condition.type, 0) + (not condition.is_normal)
    return found


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
