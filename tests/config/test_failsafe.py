"""Failsafe ports as lists of documents, as Calico's text, and as they are shown."""

from ipaddress import ip_network

import pytest

from policy.hosts import FAILSAFE_INBOUND, FailsafePort
from tidegate.config.failsafe import failsafe_ports

KIND = failsafe_ports()
NET4, NET6 = ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("none", ()),
        ([], ()),
        ("22", (FailsafePort(6, 22),)),
        ([22, "UDP:53"], (FailsafePort(6, 22), FailsafePort(17, 53))),
        ("tcp:10.0.0.0/8:22, udp:[2001:db8::/32]:53", (FailsafePort(6, 22, NET4), FailsafePort(17, 53, NET6))),
        ([{"protocol": "UDP", "port": 68}], (FailsafePort(17, 68),)),
        ([{"port": 22, "net": "10.1.2.3/8"}], (FailsafePort(6, 22, NET4),)),
    ],
)
def test_ports_are_read(raw, wanted):
    assert KIND.parse(raw) == wanted
    assert KIND.parse(KIND.show(wanted)) == wanted


@pytest.mark.parametrize(
    "raw",
    ["tcp:0", "tcp:65536", "sctp:22", "tcp", [True], [{"port": 22, "nets": []}], [{"protocol": "tcp"}], "tcp:10.0:22"],
)
def test_what_is_no_port_is_refused(raw):
    with pytest.raises(ValueError, match=r"is n|unknown"):
        KIND.parse(raw)


def test_the_default_is_calicos():
    assert KIND.show(FAILSAFE_INBOUND)[:3] == ["tcp:22", "udp:68", "tcp:179"]
