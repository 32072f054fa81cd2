"""The snapshot as a file: JSON, written whole and renamed into place, so that a reader never sees half of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from dnsagent.snapshot import (
    FORMAT,
    ForwarderOptions,
    Mode,
    Snapshot,
    SnapshotEndpoint,
    SnapshotRule,
    TrustedServer,
    Upstream,
)

_PLAIN = (
    "generation", "table", "answer_queue", "denied_queue", "query_group", "repeated_mark", "is_strict",
    "max_elements_per_endpoint", "max_elements", "learn_delay_seconds", "max_hold_seconds", "max_denied_hold_seconds",
)  # fmt: skip
_LATER = (
    "intercept_port", "reads_tcp", "intercept_mark", "intercept_table", "agent_mark", "remembers_aliases",
    "learns_hints", "fails_closed", "named_queue", "named_mark", "unnamed_mark", "max_named_hold_seconds",
    "grace_max_seconds", "set_size", "log_queue", "log_group", "log_drops_overflow",
)  # fmt: skip
"""Not in the files of earlier versions, which say the default by that."""
_RULE_FIELDS = (
    "set4", "set6", "ttl_floor_seconds", "ttl_ceiling_seconds", "extra_ttl_seconds", "allow_private", "scope",
)  # fmt: skip


_LATER_RULE_FIELDS = ("is_bound", "allows_missing", "refuses_ech", "reads_quic", "grace4", "grace6", "grace_seconds")
_ANYWHERE = ((0, 0, 65_535),)
"""Where the bound rules of earlier versions lead."""


class SnapshotError(ValueError):
    """The file is no snapshot of this format; says what is wrong."""


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Replaces the file.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(encode(snapshot))
    scratch.rename(path)


def read_snapshot(path: Path) -> Snapshot:
    """Reads the file.

    Raises:
        OSError: it cannot be read.
        SnapshotError: it is no snapshot, or one of another format.
    """
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise SnapshotError(f"cannot read the snapshot: {error}") from error
    return decode(text)


def encode(snapshot: Snapshot) -> str:
    """The snapshot as JSON, the same text for equal snapshots."""
    document: dict[str, Any] = {name: getattr(snapshot, name) for name in (*_PLAIN, *_LATER)}
    document["format"] = FORMAT
    document["mode"] = snapshot.mode.value
    document["trusted_servers"] = [[str(server.address), server.port] for server in snapshot.trusted_servers]
    document["guarded_networks"] = [str(network) for network in snapshot.guarded_networks]
    document["forwarder"] = _forwarder(snapshot.forwarder)
    document["endpoints"] = {key: _endpoint(endpoint) for key, endpoint in snapshot.endpoints.items()}
    document["rules"] = {
        key: {"patterns": sorted(rule.patterns), **_rule_fields(rule)} for key, rule in snapshot.rules.items()
    }
    return json.dumps(document, sort_keys=True)


def decode(text: str) -> Snapshot:
    """What `encode` wrote.

    Raises:
        SnapshotError: it did not write this.
    """
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise SnapshotError(f"cannot read a snapshot of format {document['format']}: this is {FORMAT}")
        return _snapshot(document)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"cannot read the snapshot: {error!r}") from error


def _endpoint(endpoint: SnapshotEndpoint) -> dict[str, Any]:
    return {
        "interface_name": endpoint.interface_name,
        "addresses": [str(address) for address in endpoint.addresses],
        "is_proxied": endpoint.is_proxied,
        "asks_from": [str(address) for address in endpoint.asks_from],
        "rules": list(endpoint.rules),
    }


def _rule_fields(rule: SnapshotRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in (*_RULE_FIELDS, *_LATER_RULE_FIELDS, "doors")}


def _rule(key: str, item: Mapping[str, Any]) -> SnapshotRule:
    later = {name: item[name] for name in _LATER_RULE_FIELDS if name in item}
    return SnapshotRule(
        id=key,
        patterns=tuple(item["patterns"]),
        doors=tuple((protocol, first, last) for protocol, first, last in item.get("doors", _ANYWHERE)),
        **{name: item[name] for name in _RULE_FIELDS},
        **later,
    )


def _forwarder(options: ForwarderOptions) -> dict[str, Any]:
    return {
        **asdict(options),
        "upstreams": [{**asdict(each), "address": str(each.address)} for each in options.upstreams],
    }


def _forwarder_options(document: Mapping[str, Any]) -> ForwarderOptions:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    upstreams = document.get("upstreams", ())
    values["upstreams"] = tuple(Upstream(**{**each, "address": ip_address(each["address"])}) for each in upstreams)
    return ForwarderOptions(**values)


def _snapshot(document: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        mode=Mode(document["mode"]),
        trusted_servers=tuple(
            TrustedServer(address=ip_address(address), port=port) for address, port in document["trusted_servers"]
        ),
        guarded_networks=tuple(map(ip_network, document["guarded_networks"])),
        forwarder=_forwarder_options(document.get("forwarder", {})),
        endpoints={
            key: SnapshotEndpoint(
                id=key,
                interface_name=item["interface_name"],
                addresses=tuple(map(ip_address, item["addresses"])),
                rules=tuple(item["rules"]),
                is_proxied=item.get("is_proxied", False),
                asks_from=tuple(map(ip_address, item.get("asks_from", ()))),
            )
            for key, item in document["endpoints"].items()
        },
        rules={key: _rule(key, item) for key, item in document["rules"].items()},
        **{name: document[name] for name in _PLAIN},
        **{name: document[name] for name in _LATER if name in document},
    )


def private_directory(path: Path) -> None:
    """Makes the state directory, for its owner alone: names are nobody else's business.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
