"""The settings about what is seen of traffic: captures and flow records. None of them changes what passes.

Names are Calico's where Calico has the setting (its Enterprise edition for most of them).
"""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tidegate.config import kinds
from tidegate.config.knob import knob

_WATCH = "Flows and captures"


class PolicyEvaluation(StrEnum):
    """Whether flow records tell what staged policies would do (Calico: FlowLogsPolicyEvaluationMode)."""

    NONE = "None"
    CONTINUOUS = "Continuous"


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """The part of the configuration about watching."""

    flow_logs_file_enabled: bool = knob(
        "flowLogsFileEnabled", _WATCH, kinds.boolean(), False,
        "Keep a record of every connection and every denied packet, in a file of the state directory. Costs processor "
        "time for each connection, and has conntrack count bytes.",
    )  # fmt: skip
    flow_logs_flush_interval_seconds: float = knob(
        "flowLogsFlushInterval", _WATCH, kinds.duration(least_seconds=0.2), 15.0,
        "How often records are written; what ended in between is added up in one. Calico's default is 300s.",
    )  # fmt: skip
    flow_logs_aggregation_allowed: int = knob(
        "flowLogsFileAggregationKindForAllowed", _WATCH, kinds.integer(0, 3), 1,
        "What of allowed connections is added up: 0 nothing, 1 those that differ in the source port, 2 in addresses "
        "too, and pods of one name's beginning, 3 in the destination port too. Calico's default is 2.",
    )  # fmt: skip
    flow_logs_aggregation_denied: int = knob(
        "flowLogsFileAggregationKindForDenied", _WATCH, kinds.integer(0, 3), 1, "Likewise for what was denied."
    )
    flow_logs_policy_evaluation_mode: PolicyEvaluation = knob(
        "flowLogsPolicyEvaluationMode", _WATCH, kinds.choice(PolicyEvaluation), PolicyEvaluation.CONTINUOUS,
        "Continuous tells in each record what staged policies would have done.",
    )  # fmt: skip
    flow_logs_retention_seconds: float = knob(
        "flowLogsRetention", _WATCH, kinds.duration(least_seconds=1), 7 * 86400.0, "Records older than that go."
    )
    flow_logs_max_bytes: int = knob(
        "flowLogsMaxBytes", _WATCH, kinds.integer(1 << 20, 1 << 44), 1 << 30,
        "Of the file of records; when it is full the oldest go.",
    )  # fmt: skip
    dns_logs_file_enabled: bool = knob(
        "dnsLogsFileEnabled", _WATCH, kinds.boolean(), False,
        "Keep records of the questions of workloads that have rules about names, and of the trusted servers' answers.",
    )  # fmt: skip
    dns_logs_file_directory: Path = knob(
        "dnsLogsFileDirectory", _WATCH, kinds.directory(), Path("/var/log/calico/dnslogs"),
        "Where they are written: dns.log, and dns.log.1 and so on before it.",
    )  # fmt: skip
    dns_logs_file_aggregation_kind: int = knob(
        "dnsLogsFileAggregationKind", _WATCH, kinds.integer(0, 1), 1,
        "0 tells of each client; 1 adds up clients whose names have the beginning of one owner.",
    )  # fmt: skip
    dns_logs_file_include_labels: bool = knob(
        "dnsLogsFileIncludeLabels", _WATCH, kinds.boolean(), True,
        "The labels of clients and servers are in the records; of clients that are added up, those that all have.",
    )  # fmt: skip
    dns_logs_file_max_file_size_mb: int = knob(
        "dnsLogsFileMaxFileSizeMB", _WATCH, kinds.integer(1, 1 << 20), 100,
        "Of the file, in millions of bytes; then the next one begins. A record is never cut.",
    )  # fmt: skip
    dns_logs_file_max_files: int = knob(
        "dnsLogsFileMaxFiles", _WATCH, kinds.integer(1, 1000), 5, "Files in all; the oldest goes."
    )
    dns_logs_file_per_node_limit: int = knob(
        "dnsLogsFilePerNodeLimit", _WATCH, kinds.integer(0, 1 << 31), 0,
        "Most records of an interval; what is in none is counted in a record of type UNLOGGED. 0 is no limit but "
        "50,000.",
    )  # fmt: skip
    dns_logs_flush_interval_seconds: float = knob(
        "dnsLogsFlushInterval", _WATCH, kinds.duration(least_seconds=0.2), 300.0,
        "How often records are written; what is the same in between is added up in one.",
    )  # fmt: skip
    dns_logs_latency: bool = knob(
        "dnsLogsLatency", _WATCH, kinds.boolean(), True,
        "Records tell how long answers took, as the packet process saw them pass.",
    )  # fmt: skip
    capture_dir: Path | None = knob(
        "captureDir", _WATCH, kinds.path(), Path("/var/log/tidegate/pcap"),
        "Where the packets that PacketCaptures ask for are written, in <namespace>/<capture>.",
    )  # fmt: skip
    capture_max_size_bytes: int = knob(
        "captureMaxSizeBytes", _WATCH, kinds.integer(10_000, 1 << 40), 10_000_000,
        "Of one capture file; then the next one begins.",
    )  # fmt: skip
    capture_rotation_seconds: int = knob(
        "captureRotationSeconds", _WATCH, kinds.integer(0, 1 << 31), 3600,
        "How long a capture file is written to before the next one begins; 0 is as long as there is room.",
    )  # fmt: skip
    capture_max_files: int = knob(
        "captureMaxFiles", _WATCH, kinds.integer(1, 10_000), 2,
        "Capture files of one interface of one PacketCapture; the oldest goes when the next one begins.",
    )  # fmt: skip
    metrics_max_rules: int = knob(
        "metricsMaxRules", _WATCH, kinds.integer(0, 1_000_000), 1000,
        "Series for single rules on the page of metrics, of those that counted most; the others are added up. A page "
        "reads all counters of the kernel's table: 0.2 s for 20,000 rules; 0 is no metrics of rules.",
    )  # fmt: skip
