"""DNS log records: exchanges added up over an interval, and their JSON. Pure; the time is told.

Fields are those of Calico Enterprise's DNS logs under their names. Ours are added at the end: what taught nothing and
why, and the policies whose rules learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from ipaddress import ip_address
from typing import Final, final

from dnsagent.answers import RecordSet
from policy.rules import PolicyID
from reconcile.instant import WallInstant
from tidegate.dnslog.exchange import Exchange
from tidegate.dnslog.parties import Parties, Party

MAX_RECORDS: Final = 50_000
"""Of one interval, at a few kilobytes each, whatever the limit of the configuration: what fits in none is counted."""


class Aggregation(IntEnum):
    """What is added up (Calico: DNSLogsFileAggregationKind)."""

    NONE = 0
    """Clients are told one by one."""
    PREFIX = 1
    """Clients of one owner are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the configuration says of records."""

    aggregation: Aggregation = Aggregation.PREFIX
    has_labels: bool = True
    has_latency: bool = True
    limit: int = 0
    """Records of an interval; 0 is as many as there is room for."""


@dataclass(frozen=True, slots=True)
class _Key:
    """Exchanges that agree in this are one record."""

    client_ip: str | None
    client_name: str
    client_name_aggr: str
    client_namespace: str
    qname: str
    qtype: str
    qclass: str
    rcode: str | None
    rrsets: tuple[RecordSet, ...]
    left_out: int
    server: tuple[str, str, str, str]
    transport: str
    reason: str
    policies: tuple[PolicyID, ...]


@dataclass(slots=True)
class _Sum:
    """What was added up under a key."""

    client_labels: Mapping[str, str]
    server_labels: Mapping[str, str]
    count: int = 0
    latencies: list[int] = field(default_factory=lambda: [0, 0, 0])
    """How many, their sum, the longest; nanoseconds."""

    def add(self, client: Party, latency_seconds: float | None) -> None:
        """One more."""
        self.count += 1
        if client.labels != self.client_labels:
            common = self.client_labels.items() & client.labels.items()
            self.client_labels = {key: value for key, value in self.client_labels.items() if (key, value) in common}
        if latency_seconds is not None:
            latency = max(1, round(latency_seconds * 1e9))
            count, total, longest = self.latencies
            self.latencies = [count + 1, total + latency, max(longest, latency)]


@final
class Interval:
    """Adds up what happens until it is ended. Holds state."""

    def __init__(self, options: Options, start: WallInstant) -> None:
        self._options = options
        self._start = start
        self._sums: dict[_Key, _Sum] = {}
        self._unlogged = 0

    def add(self, exchange: Exchange, parties: Parties) -> None:
        """One exchange: in its record, or among those that there is no record for."""
        client = parties.client(exchange.client)
        server = parties.server(exchange.server, exchange.server_port)
        key = _key(exchange, client, server, parties, self._options.aggregation)
        found = self._sums.get(key)
        if found is None:
            if len(self._sums) >= (self._options.limit or MAX_RECORDS):
                self._unlogged += 1
                return
            found = self._sums[key] = _Sum(client.labels, server.labels)
        found.add(client, exchange.latency_seconds if self._options.has_latency else None)

    def end(self, now: WallInstant) -> tuple[list[Mapping[str, object]], int]:
        """The records, the last one telling how many exchanges are in none, if any are; and that number."""
        times = {"start_time": timestamp(self._start), "end_time": timestamp(now)}
        records: list[Mapping[str, object]] = [
            {**times, **_document(key, found, self._options)} for key, found in self._sums.items()
        ]
        unlogged = self._unlogged
        if unlogged:
            records.append({**times, "type": "UNLOGGED", "count": unlogged})
        self._start, self._sums, self._unlogged = now, {}, 0
        return records, unlogged


def live_document(exchange: Exchange, parties: Parties, at: WallInstant) -> Mapping[str, object]:
    """One exchange by itself, for who follows: a record of it alone, with what it opened for how long."""
    options = Options(aggregation=Aggregation.NONE)
    client = parties.client(exchange.client)
    server = parties.server(exchange.server, exchange.server_port)
    key = _key(exchange, client, server, parties, options.aggregation)
    alone = _Sum(client.labels, server.labels)
    alone.add(client, exchange.latency_seconds)
    time = timestamp(at)
    return {
        "start_time": time,
        "end_time": time,
        **_document(key, alone, options),
        "endpoint": client.endpoint,
        "rules": list(exchange.rules),
        "learned": [
            {"ip": address_text(address), "expires_in_seconds": round(seconds, 3)}
            for address, seconds in exchange.opened.items()
        ],
    }


def timestamp(instant: WallInstant) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def address_text(packed: bytes) -> str:
    """As people write it."""
    return str(ip_address(packed))


def _key(exchange: Exchange, client: Party, server: Party, parties: Parties, aggregation: Aggregation) -> _Key:
    is_alone = aggregation is Aggregation.NONE
    return _Key(
        client_ip=client.ip if is_alone else None,
        client_name=(client.name or "-") if is_alone else "-",
        client_name_aggr=client.name_aggr,
        client_namespace=client.namespace or "-",
        qname=exchange.qname,
        qtype=exchange.qtype,
        qclass=exchange.qclass,
        rcode=exchange.rcode,
        rrsets=exchange.rrsets,
        left_out=exchange.left_out,
        server=(server.ip, server.name or "-", server.name_aggr, server.namespace or "-"),
        transport="TCP" if exchange.is_stream else "UDP",
        reason=exchange.reason,
        policies=parties.policies(client.endpoint, exchange.rules),
    )


def _document(key: _Key, found: _Sum, options: Options) -> Mapping[str, object]:
    count, total, longest = found.latencies
    ip, name, name_aggr, namespace = key.server
    server: dict[str, object] = {"ip": ip, "name": name, "name_aggr": name_aggr, "namespace": namespace}
    labels: dict[str, object] = {}
    if options.has_labels:
        server["labels"] = dict(found.server_labels)
        labels["client_labels"] = dict(found.client_labels)
    return {
        "type": "LOG",
        "count": found.count,
        "client_ip": key.client_ip,
        "client_name": key.client_name,
        "client_name_aggr": key.client_name_aggr,
        "client_namespace": key.client_namespace,
        **labels,
        "qname": key.qname,
        "qtype": key.qtype,
        "qclass": key.qclass,
        "rcode": key.rcode,
        "rrsets": [_rrset(each) for each in key.rrsets],
        "servers": [server],
        "latency_count": count,
        "latency_mean": total // count if count else 0,
        "latency_max": longest,
        "transport": key.transport,
        "reason": key.reason,
        "policies": [_policy(each) for each in key.policies],
        "records_left_out": key.left_out,
    }


def _rrset(records: RecordSet) -> Mapping[str, object]:
    return {"name": records.name, "class": records.class_, "type": records.type, "rdata": list(records.rdata)}


def _policy(policy: PolicyID) -> Mapping[str, str]:
    return {"kind": policy.kind, "namespace": policy.namespace, "name": policy.name}
