"""The configuration as the renderer sees it."""

from ipaddress import ip_address

import pytest

from dnsagent.snapshot import Mode, TrustedServer
from nft.expr import RateLimit
from tidegate.config.dns import DNSPolicyMode
from tidegate.config.packets import SourceSpoofing
from tidegate.config.settings import Settings
from tidegate.render import RenderSettings
from tidegate.render.settings import from_configuration

SERVERS = (TrustedServer(address=ip_address("10.96.0.10")),)


def test_the_default_configuration_is_the_default_rendering():
    assert from_configuration(Settings(), SERVERS) == RenderSettings(trusted_servers=SERVERS)


@pytest.mark.parametrize(("mask", "bits"), [(0xFFFF0000, (0x10000, 0x20000)), (0x80808080, (0x80, 0x8000))])
def test_mark_bits_are_the_lowest_of_the_mask(mask, bits):
    made = from_configuration(Settings(nftables_mark_mask=mask), ())
    assert (made.pass_mark, made.repeated_mark) == bits


def test_a_log_limit_gets_its_burst():
    made = from_configuration(
        Settings(log_action_rate_limit=RateLimit(10, "minute", 5), log_action_rate_limit_burst=9), ()
    )
    assert made.log_limit == RateLimit(10, "minute", 9)


def test_words_of_the_configuration_become_switches():
    made = from_configuration(
        Settings(
            dns_policy_mode=DNSPolicyMode.INLINE,
            workload_source_spoofing=SourceSpoofing.ANY,
            disable_conntrack_invalid_check=True,
        ),
        (),
    )
    assert made.dns_mode is Mode.DELAY_DNS_RESPONSE
    assert made.honours_source_prefixes
    assert not made.drops_invalid
