"""What the configuration says to the forwarder. Pure."""

from dnsagent.snapshot import ForwarderOptions
from tidegate.config.forwarder import AskableNames, DeniedReply
from tidegate.config.settings import Settings


def forwarder_options(settings: Settings) -> ForwarderOptions:
    """The forwarder's options as the packet process takes them."""
    return ForwarderOptions(
        upstreams=settings.dns_proxy_upstreams,
        authority_file=str(settings.dns_proxy_ca_file or ""),
        cache_bytes=settings.dns_proxy_cache_bytes,
        stale_seconds=settings.dns_proxy_serve_stale_seconds,
        strips_ech=settings.dns_proxy_strip_ech,
        filters_services=settings.dns_proxy_filter_svcb,
        hides_resolvers=settings.dns_proxy_hide_resolvers,
        only_selected_names=settings.dns_proxy_names is AskableNames.POLICY,
        admitted_names=settings.dns_proxy_admitted_names,
        denied_types=settings.dns_proxy_denied_types,
        refuses=settings.dns_proxy_denied_reply is DeniedReply.REFUSED,
        deny_files=settings.dns_proxy_deny_files,
        zone_files=settings.dns_proxy_zone_files,
        quarantine_score=settings.dns_proxy_quarantine_score,
        quarantine_seconds=settings.dns_proxy_quarantine_seconds,
    )
