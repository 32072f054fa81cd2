"""Metrics of the WireGuard devices, from what `tidegate wireguard` shows. None where there is no device."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_PREFIX = "tidegate_wireguard"


def tunnel_metrics(tunnels: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """By device; by peer where something is about one. A peer that never shook hands has no age."""
    if tunnels:
        yield from _of_devices(tunnels)
        yield from _of_peers(tunnels)


def _of_devices(tunnels: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    label = ["interface"]
    up = GaugeMetricFamily(f"{_PREFIX}_up", "Whether the device is as the documents want it", labels=label)
    peers = GaugeMetricFamily(f"{_PREFIX}_peers", "Nodes that are encrypted to", labels=label)
    age = GaugeMetricFamily(f"{_PREFIX}_key_age_seconds", "Since the key was made", labels=label)
    made = CounterMetricFamily(f"{_PREFIX}_devices_made", "How often the device had to be made", labels=label)
    left = GaugeMetricFamily(f"{_PREFIX}_unencrypted_nodes", "Nodes that are not", labels=["interface", "reason"])
    for tunnel in tunnels:
        name = tunnel["interface"]
        up.add_metric([name], float(not tunnel["error"]))
        peers.add_metric([name], len(tunnel["peers"]))
        made.add_metric([name], tunnel["made"])
        if tunnel["key_age_seconds"] is not None:
            age.add_metric([name], tunnel["key_age_seconds"])
        for reason, count in sorted(Counter(item["reason"] for item in tunnel["unencrypted"]).items()):
            left.add_metric([name, reason], count)
    yield from (up, peers, age, made, left)


def _of_peers(tunnels: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    label = ["interface", "node"]
    received = CounterMetricFamily(f"{_PREFIX}_received_bytes", "Bytes from a node, encrypted", labels=label)
    sent = CounterMetricFamily(f"{_PREFIX}_sent_bytes", "Bytes to a node, encrypted", labels=label)
    age = GaugeMetricFamily(f"{_PREFIX}_handshake_age_seconds", "Since the last handshake with a node", labels=label)
    for tunnel in tunnels:
        for peer in tunnel["peers"]:
            names = [tunnel["interface"], peer["node"]]
            received.add_metric(names, peer["received_bytes"])
            sent.add_metric(names, peer["sent_bytes"])
            if peer["handshake_age_seconds"] is not None:
                age.add_metric(names, peer["handshake_age_seconds"])
    yield from (received, sent, age)
