"""Records as syslog, journald and OpenTelemetry want them. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tidegate.packetlog.text import line

Record = Mapping[str, Any]

_DAEMON_INFO = 3 << 3 | 6
"""RFC 5424 6.2.1: facility system daemons, severity informational."""
_INFO = 9
"""OpenTelemetry's SeverityNumber of INFO (logs data model)."""
_NANOSECONDS = 1000


def syslog_message(record: Record, host: str, process: int) -> bytes:
    """RFC 5424 section 6, without structured data: the message is the record as JSON, which is ASCII."""
    head = f"<{_DAEMON_INFO}>1 {record['time']} {host or '-'} tidegate {process} LOG -"
    return f"{head} {json.dumps(record)}".encode("ascii")


def journal_entry(record: Record) -> bytes:
    """The fields of an entry, as journald's socket takes them (systemd: JOURNAL_NATIVE_PROTOCOL).

    What the record does not have is left out. A value with a line's end has its length in front.
    """
    fields = {"MESSAGE": line(record), "PRIORITY": "6", "SYSLOG_IDENTIFIER": "tidegate"}
    fields |= {f"TIDEGATE_{name.upper()}": _text(value) for name, value in record.items() if value not in (None, [])}
    return b"".join(_field(name, value.encode()) for name, value in fields.items())


def otlp_body(records: Sequence[Record], host: str) -> bytes:
    """An ExportLogsServiceRequest in OTLP's JSON encoding (opentelemetry-proto: logs/v1, OTLP/HTTP)."""
    resource = {"attributes": list(_attributes({"service.name": "tidegate", "host.name": host}))}
    scope = {"scope": {"name": "tidegate.packetlog"}, "logRecords": [_log_record(record) for record in records]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}).encode("ascii")


def _log_record(record: Record) -> dict[str, Any]:
    nanoseconds = str(_microseconds(record["time"]) * _NANOSECONDS)  # 64-bit numbers are text in JSON
    return {
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": _INFO,
        "severityText": "INFO",
        "body": {"stringValue": line(record)},
        "attributes": list(_attributes({f"tidegate.{name}": value for name, value in record.items()})),
    }


def _attributes(values: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, list):
            yield {"key": name, "value": {"arrayValue": {"values": [{"stringValue": str(item)} for item in value]}}}
        elif isinstance(value, int):
            yield {"key": name, "value": {"intValue": str(value)}}
        else:
            yield {"key": name, "value": {"stringValue": str(value)}}


def _microseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%b=%b\n" % (name.encode("ascii"), value)
    return b"%b\n%b%b\n" % (name.encode("ascii"), len(value).to_bytes(8, "little"), value)
