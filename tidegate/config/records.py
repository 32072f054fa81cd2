"""The settings about logs: what Log rules write, and what the agent says of itself."""

# ruff: noqa: RUF009 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nft.expr import RateLimit
from tidegate.config import kinds
from tidegate.config.knob import knob

LOG_PREFIX_PATTERN = r"[a-zA-Z0-9%: /_-]*"
SINK_PATTERN = r"stdout|journald|syslog|syslog:/[^ ,]+|syslog:udp://[^ ,/]+:[0-9]+|otlp:https?://[^ ,]+"

_LOG = "Logs and experiments"


class LogSeverity(StrEnum):
    """The least severe lines that are written (Calico: LogSeverityScreen)."""

    DEBUG = "Debug"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "Text"
    JSON = "JSON"


class LogTransport(StrEnum):
    """How the packets that Log rules meet are told of."""

    KERNEL = "kernel"
    NFLOG = "nflog"
    NFQUEUE = "nfqueue"


class LogOverflow(StrEnum):
    """What becomes of a connection whose record would be lost."""

    PASS = "pass"
    DROP = "drop"


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """The part of the configuration about logs."""

    log_prefix: str = knob(
        "logPrefix", _LOG, kinds.text(LOG_PREFIX_PATTERN, "made of letters, digits and %: /_-"), "calico-packet",
        "Of the lines and records of Log rules; %t, %k, %n and %p become tier, kind, name and namespace/name.",
    )  # fmt: skip
    log_transport: LogTransport = knob(
        "logTransport", _LOG, kinds.choice(LogTransport), LogTransport.KERNEL,
        "Where Log rules write: lines of the kernel log (as Calico), or records of our own, by `tidegate logs` and in "
        "logFile. Records that are lost under load are counted; with nfqueue a connection waits until it is recorded.",
    )  # fmt: skip
    log_overflow: LogOverflow = knob(
        "logOverflow", _LOG, kinds.choice(LogOverflow), LogOverflow.DROP,
        "With `logTransport: nfqueue`, what becomes of a new connection that cannot be recorded: no room, or nobody "
        "reads. Both are counted.",
    )  # fmt: skip
    log_nfqueue_id: int = knob(
        "logNfqueueID", _LOG, kinds.integer(0, 65535), 103,
        "NFQUEUE number of packets that wait until they are recorded (`logTransport: nfqueue`).",
    )  # fmt: skip
    log_group: int = knob(
        "logGroup", _LOG, kinds.integer(1, 65535), 5,
        "NFLOG group of `logTransport: nflog` and `nfqueue`; nobody else's, in this network namespace.",
    )  # fmt: skip
    log_file: Path | None = knob(
        "logFile", _LOG, kinds.path(), None, "Records of Log rules as JSON lines; without it they are only in memory."
    )
    log_sinks: tuple[str, ...] = knob(
        "logSinks", _LOG, kinds.listed(kinds.text(SINK_PATTERN, "stdout, journald, syslog, syslog:/SOCKET, "
        "syslog:udp://HOST:PORT or otlp:http(s)://HOST:PORT/v1/logs")), (),
        "Where records of Log rules go as well: JSON lines, journald's fields, RFC 5424 messages, OTLP in JSON. What a "
        "sink has not taken is counted.",
    )  # fmt: skip
    log_file_max_bytes: int = knob(
        "logFileMaxBytes", _LOG, kinds.integer(10_000, 1 << 40), 10_000_000,
        "Of logFile; then it becomes <logFile>.1 and another one begins.",
    )  # fmt: skip
    log_file_max_files: int = knob(
        "logFileMaxFiles", _LOG, kinds.integer(1, 1000), 5, "Of logFile with those before it; the oldest goes."
    )
    log_action_rate_limit: RateLimit | None = knob(
        "logActionRateLimit", _LOG, kinds.rate(), None, "Of each Log rule: a busy rule must not fill the disk."
    )
    log_action_rate_limit_burst: int = knob(
        "logActionRateLimitBurst", _LOG, kinds.integer(0, 9999), 5, "What may exceed the rate for a moment."
    )
    log_severity_screen: LogSeverity = knob(
        "logSeverityScreen", _LOG, kinds.choice(LogSeverity), LogSeverity.INFO,
        "Info tells an operator's story, Debug a developer's.",
    )  # fmt: skip
    log_format: LogFormat = knob(
        "logFormat", _LOG, kinds.choice(LogFormat), LogFormat.TEXT, "Of our own lines on standard error."
    )
    debug_dns_response_delay_seconds: float = knob(
        "debugDNSResponseDelay", _LOG, kinds.duration("ms"), 0.0,
        "Makes learning slow, to see who waits for it. For tests.",
    )  # fmt: skip
    debug_missing_features: tuple[str, ...] = knob(
        "debugMissingFeatures", _LOG, kinds.listed(kinds.text(r"[a-z0-9_]+", "a kernel feature")), (),
        "Behave as if the kernel lacked these features. For tests.",
    )  # fmt: skip
