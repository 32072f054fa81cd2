"""The forwarder's settings: what is read is what is shown, and nonsense says what it is."""

import pytest

from dnsagent.snapshot import Snapshot
from dnsagent.snapshot_file import decode, encode
from tidegate.config import sources
from tidegate.config.forwarding import pattern, record_type, upstream
from tidegate.sync.forwarding import forwarder_options


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.1", "udp://192.0.2.1:53"),
        ("udp://192.0.2.1:5353", "udp://192.0.2.1:5353"),
        ("tcp://[2001:db8::1]:54", "tcp://[2001:db8::1]:54"),
        ("2001:db8::1", "udp://[2001:db8::1]:53"),
        ("tls://192.0.2.1#dns.example", "tls://192.0.2.1:853#dns.example"),
        ("tls://[2001:db8::1]", "tls://[2001:db8::1]:853"),
    ],
)
def test_a_server_is_shown_as_it_can_be_written(text, shown):
    kind = upstream()
    assert kind.show(kind.parse(text)) == shown
    assert kind.parse(shown) == kind.parse(text)


@pytest.mark.parametrize(
    "text", ["", "dns.example", "https://192.0.2.1", "192.0.2.1:0", "192.0.2.1:70000", "192.0.2.1#name"]
)
def test_what_is_no_server_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a|only a tls"):
        upstream().parse(text)


def test_types_are_words_or_numbers():
    kind = record_type()
    assert [kind.parse(each) for each in ("A", "txt", "TYPE65", "99", 16)] == [1, 16, 65, 99, 16]
    assert [kind.show(each) for each in (1, 65, 300)] == ["A", "HTTPS", "TYPE300"]
    for bad in ("", "NOPE", "0", "65536", "TYPE"):
        with pytest.raises(ValueError, match="is not a record type"):
            kind.parse(bad)


def test_patterns_are_those_of_policy():
    assert pattern().parse("*.Example.COM.") == "*.example.com"
    with pytest.raises(ValueError, match="more than one wildcard"):
        pattern().parse("a.*.*")


def test_all_of_it_reaches_the_packet_process(tmp_path):
    settings = sources.from_flags([
        "dnsProxyUpstreams=tls://192.0.2.1#a.test,udp://[2001:db8::1]:5353", "dnsProxyNames=Policy", "dnsProxyDeniedReply=REFUSED",
        "dnsProxyAdmittedNames=*.a.test", "dnsProxyDeniedTypes=TXT,NULL", "dnsProxyServeStale=1h", "dnsProxyStripECH=true",
        f"dnsProxyDenyFiles={tmp_path}/x", "dnsProxyQuarantineScore=70", "dnsProxyHideResolvers=false",
    ])  # fmt: skip
    options = forwarder_options(sources.configure([settings]).settings)
    assert (options.only_selected_names, options.refuses, options.strips_ech) == (True, True, True)
    assert (options.denied_types, options.stale_seconds, options.quarantine_score) == ((16, 10), 3600.0, 70)
    snapshot = Snapshot(generation=1, table="t", forwarder=options)
    assert decode(encode(snapshot)).forwarder == options
