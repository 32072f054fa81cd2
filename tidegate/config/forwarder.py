"""The settings about the node's own forwarder (mode Proxy): whom it asks, what may be asked, what it says."""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dnsagent.snapshot import Upstream
from tidegate.config import kinds
from tidegate.config.forwarding import pattern, record_type, upstream
from tidegate.config.knob import knob

_PROXY = "DNS forwarder"


class AskableNames(StrEnum):
    """What workloads may ask the forwarder for."""

    ANY = "Any"
    POLICY = "Policy"
    """What their own policy selects, and what is admitted for all."""


class DeniedReply(StrEnum):
    """What the forwarder says to a question that may not be asked."""

    NXDOMAIN = "NXDOMAIN"
    REFUSED = "REFUSED"


@dataclass(frozen=True, kw_only=True)
class ForwarderSettings:
    """The part of the configuration about the forwarder."""

    dns_proxy_upstreams: tuple[Upstream, ...] = knob(
        "dnsProxyUpstreams", _PROXY, kinds.listed(upstream()), (),
        "Whom the forwarder asks, the first that answers. None: the server that the workload asked.",
    )  # fmt: skip
    dns_proxy_ca_file: Path | None = knob(
        "dnsProxyCAFile", _PROXY, kinds.path(), None,
        "Certificates that vouch for `tls` upstreams, instead of the system's.",
    )  # fmt: skip
    dns_proxy_cache_bytes: int = knob(
        "dnsProxyCacheBytes", _PROXY, kinds.integer(0, 1 << 34), 33554432,
        "Memory for replies that may still be used; a reply takes about 500 bytes.",
    )  # fmt: skip
    dns_proxy_serve_stale_seconds: float = knob(
        "dnsProxyServeStale", _PROXY, kinds.duration(), 0.0,
        "How long a reply may be used behind its time where no server answers (RFC 8767); 0 is not at all.",
    )  # fmt: skip
    dns_proxy_names: AskableNames = knob(
        "dnsProxyNames", _PROXY, kinds.choice(AskableNames), AskableNames.ANY,
        "Policy: a workload may ask for names that its policy selects alone, so that no data leaves in other names.",
    )  # fmt: skip
    dns_proxy_admitted_names: tuple[str, ...] = knob(
        "dnsProxyAdmittedNames", _PROXY, kinds.listed(pattern()), (),
        "Patterns that every workload may ask for, under dnsProxyNames: Policy.",
    )  # fmt: skip
    dns_proxy_denied_types: tuple[int, ...] = knob(
        "dnsProxyDeniedTypes", _PROXY, kinds.listed(record_type()), (),
        "Record types that are said not to exist.",
    )  # fmt: skip
    dns_proxy_denied_reply: DeniedReply = knob(
        "dnsProxyDeniedReply", _PROXY, kinds.choice(DeniedReply), DeniedReply.NXDOMAIN,
        "To a question that may not be asked. REFUSED ends the search list of some resolvers (musl).",
    )  # fmt: skip
    dns_proxy_deny_files: tuple[str, ...] = knob(
        "dnsProxyDenyFiles", _PROXY, kinds.listed(kinds.text(r"/.+", "an absolute path")), (),
        "Deny lists: hosts files, lists of names, response policy zones.",
    )  # fmt: skip
    dns_proxy_zone_files: tuple[str, ...] = knob(
        "dnsProxyZoneFiles", _PROXY, kinds.listed(kinds.text(r"/.+", "an absolute path")), (),
        "Zones that the forwarder answers for by itself.",
    )  # fmt: skip
    dns_proxy_strip_ech: bool = knob(
        "dnsProxyStripECH", _PROXY, kinds.boolean(), False,
        "Take `ech` out of HTTPS and SVCB records, so that the name in a TLS hello can be read.",
    )  # fmt: skip
    dns_proxy_filter_svcb: bool = knob(
        "dnsProxyFilterSVCB", _PROXY, kinds.boolean(), False, "Say that HTTPS and SVCB records do not exist."
    )
    dns_proxy_hide_resolvers: bool = knob(
        "dnsProxyHideResolvers", _PROXY, kinds.boolean(), True,
        "Deny the names by which browsers and systems decide to use another resolver (`use-application-dns.net`).",
    )  # fmt: skip
    dns_proxy_quarantine_score: int = knob(
        "dnsProxyQuarantineScore", _PROXY, kinds.integer(0, 100), 0,
        "From this score on, questions below a domain look so much like a tunnel that they are refused; 0 is never.",
    )  # fmt: skip
    dns_proxy_quarantine_seconds: float = knob(
        "dnsProxyQuarantineDuration", _PROXY, kinds.duration(least_seconds=1.0), 300.0, "How long that lasts."
    )
    dns_proxy_fail_closed: bool = knob(
        "dnsProxyFailClosed", _PROXY, kinds.boolean(), False,
        "Drop questions where the forwarder is not there. Otherwise they go to their server, and are not judged.",
    )  # fmt: skip
