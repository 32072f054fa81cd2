"""A record as a line for people. Pure."""

from collections.abc import Mapping
from typing import Any


def line(record: Mapping[str, Any]) -> str:
    """One record (`LogRecord.document`) in one line, without the packet itself."""
    far = f" ({', '.join(record['names'])})" if record["names"] else ""
    flags = f" [{','.join(record['tcp_flags'])}]" if record["tcp_flags"] else ""
    icmp = "" if record["icmp_type"] is None else f" type {record['icmp_type']} code {record['icmp_code']}"
    ends = f"{_end(record, 'source')} > {_end(record, 'destination')}"
    return (
        f"{record['time']} {record['prefix'] or record['tag']}: {record['endpoint'] or '-'} "
        f"{record['direction'] or ''} {record['protocol']} {ends}{far}{flags}{icmp} "
        f"{record['length_bytes']} bytes, rule {record['tag']}"
    )


def _end(record: Mapping[str, Any], side: str) -> str:
    address, port = record[side], record[f"{side}_port"]
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
