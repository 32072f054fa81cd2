"""The fallback of the DNS policy mode is named, never silent."""

import pytest

from dnsagent.snapshot import Mode
from nft.features import Features
from tidegate.config.dns import DNSPolicyMode
from tidegate.sync.mode import choose_mode, encodings, without


def features(**values):
    names = [name for name in Features.__slots__ if name != "kernel_release"]
    return Features(kernel_release="6.18", **{name: values.get(name, True) for name in names})


@pytest.mark.parametrize(
    ("wanted", "missing", "in_force"),
    [
        (DNSPolicyMode.DELAY_DNS_RESPONSE, (), Mode.DELAY_DNS_RESPONSE),
        (DNSPolicyMode.DELAY_DNS_RESPONSE, ("native_queue",), Mode.DELAY_DNS_RESPONSE),
        (DNSPolicyMode.DELAY_DENIED_PACKET, ("compat_queue",), Mode.DELAY_DENIED_PACKET),
        (DNSPolicyMode.DELAY_DNS_RESPONSE, ("native_queue", "compat_queue"), Mode.NO_DELAY),
        (DNSPolicyMode.DELAY_DENIED_PACKET, ("nfnetlink_queue",), Mode.NO_DELAY),
        (DNSPolicyMode.NO_DELAY, ("nfnetlink_queue",), Mode.NO_DELAY),
        (DNSPolicyMode.PROXY, (), Mode.PROXY),
        (DNSPolicyMode.PROXY, ("nfnetlink_queue",), Mode.PROXY),
        (DNSPolicyMode.PROXY, ("tproxy",), Mode.DELAY_DNS_RESPONSE),
        (DNSPolicyMode.PROXY, ("socket_transparent", "nfnetlink_queue"), Mode.NO_DELAY),
    ],
)
def test_what_cannot_be_held_is_not_held_and_the_reason_is_given(wanted, missing, in_force):
    choice = choose_mode(wanted, without(features(), (*missing, "no_such_feature")))
    assert choice.in_force is in_force
    assert choice.is_as_wanted == (in_force is wanted.mode)
    assert bool(choice.reason) == (not choice.is_as_wanted)


def test_inline_means_holding_answers_and_says_so():
    choice = choose_mode(DNSPolicyMode.INLINE, features())
    assert (choice.in_force, choice.is_as_wanted) == (Mode.DELAY_DNS_RESPONSE, True)
    assert choice.reason


def test_encodings_name_what_is_used():
    assert encodings(features(native_queue=False))["queue"] == "compat"
    assert encodings(features(native_queue=False, compat_queue=False))["queue"] == "none"
    assert encodings(features(readd_refreshes=False))["refresh"] == "add-delete-add"
