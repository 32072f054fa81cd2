"""Packets taken apart for people, whatever their bytes are."""

import sys
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from tests.packetlog.test_sinks import RECORD
from tidegate.packetlog.inspect import InspectError, inspected


def shown(packet):
    return inspected({**RECORD, "packet": b64encode(bytes(packet)).decode()})


def test_every_layer_is_shown_with_its_fields():
    text = shown(IP(dst="192.0.2.1", ttl=7) / UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="tide.test")))
    assert "ttl       = 7" in text
    assert "tide.test" in text
    assert "nh        = UDP" in shown(IPv6(dst="2001:db8::1") / UDP())


@given(st.binary(max_size=80))
def test_whatever_the_bytes_something_is_shown(data):
    assert shown(data)


def test_without_scapy_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scapy.layers.inet", None)
    with pytest.raises(InspectError, match="extra `inspect`"):
        shown(b"E")
