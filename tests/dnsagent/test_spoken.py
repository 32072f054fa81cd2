"""What clients' first bytes say: names are read as every server would, or not at all."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.named.hello import EARLY_BYTES
from dnsagent.named.spoken import Spoken, UnspokenError
from dnsagent.named.stream import MAX_BYTES, MAX_SEGMENTS, FirstBytes, Segment, read_spoken
from tests.dnsagent.greetings import (
    ech,
    extension,
    handshake,
    hello,
    padding,
    real_hello,
    records,
    request,
    server_name,
)


def spoken(data: bytes) -> Spoken | None:
    return read_spoken(memoryview(data))


def reason(data: bytes) -> str:
    with pytest.raises(UnspokenError) as caught:
        spoken(data)
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.test", "xn--bcher-kva.example", "A.Test"])
def test_the_name_of_a_real_greeting_is_read(name):
    assert spoken(real_hello(name)) == Spoken(name.lower().encode())


def test_a_greeting_without_a_name_says_so():
    assert spoken(real_hello(None)) == Spoken(None)
    assert spoken(records(handshake(bare=True))) == Spoken(None)


def test_an_encrypted_greeting_is_told_beside_the_readable_name():
    assert spoken(hello("outer.test", ech())) == Spoken(b"outer.test", has_ech=True)


@given(st.integers(1, 400), st.integers(0, 600))
def test_a_greeting_in_many_records_is_the_same_and_no_part_of_it_says_anything(size, cut):
    message = handshake(server_name(b"a.test"), padding(200))
    data = records(message, size)
    assert spoken(data) == Spoken(b"a.test")
    part = data[: min(cut, len(data) - 1)]
    assert not part or spoken(part) is None


def test_what_follows_the_greeting_is_not_looked_at():
    assert spoken(hello("a.test") + b"\x14\x03\x03\0\1\1") == Spoken(b"a.test")


def test_a_long_greeting_is_read_as_far_as_it_goes():
    data = hello("a.test", padding(15_000))
    assert spoken(data[: EARLY_BYTES - 100]) is None
    assert spoken(data[: EARLY_BYTES + 100]) == Spoken(b"a.test", is_whole=False)
    late = records(handshake(padding(15_000), server_name(b"a.test")))
    assert spoken(late[:14_000]) is None
    assert spoken(late) == Spoken(b"a.test")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (records(handshake(server_name(b"a.test"), server_name(b"b.test"))), "malformed-hello"),
        (records(handshake(server_name(b"a.test", kind=1))), "malformed-hello"),
        (records(handshake(extension(0, b"\0\0"))), "malformed-hello"),
        (records(handshake(extension(0, b"\0\x09\0\0\1a\0\0\1b"))), "malformed-hello"),
        (records(handshake(server_name(b"a.test"), suites=b"\x13")), "malformed-hello"),
        (records(handshake(server_name(b"192.0.2.1"))), "bad-name"),
        (records(handshake(server_name(b"a.test."))), "bad-name"),
        (records(handshake(server_name(b"a b.test"))), "bad-name"),
        (records(handshake(server_name(b"a.test\0.evil"))), "bad-name"),
        (records(handshake(server_name("bücher.test".encode()))), "bad-name"),
        (records(b"\2\0\0\0"), "no-hello"),
        (b"\x16\x02\0\0\1\1", "no-hello"),
        (b"\x16\x03\1\0\0", "malformed-hello"),
        (b"\x16\x03\1\x40\1", "malformed-hello"),
        (records(b"\1\1\0\0"), "hello-too-long"),
        (b"\x80\x2e\1\0\2", "neither-tls-nor-http"),
        (b"SSH-2.0-x\r\n", "neither-tls-nor-http"),
        (b"ehlo a.test\r\n", "neither-tls-nor-http"),
    ],
)
def test_what_servers_could_read_differently_is_refused(data, why):
    assert reason(data) == why


def test_extensions_that_overrun_the_greeting_are_refused():
    message = bytearray(handshake(server_name(b"a.test")))
    message[-len(server_name(b"a.test")) - 2 : -len(server_name(b"a.test"))] = struct.pack("!H", 500)
    assert reason(records(bytes(message))) == "malformed-hello"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (request("a.test"), b"a.test"),
        (request("A.test:8080"), b"a.test"),
        (request("a.test", "http://a.test/x?y"), b"a.test"),
        (request(None), None),
        (b"GET / HTTP/1.0\r\n\r\n", None),
        (b"POST /a HTTP/1.1\r\nhOST:\t a.test \r\nX: \xe9\r\n\r\nbody\nbody", b"a.test"),
    ],
)
def test_the_host_of_a_request_is_read(data, name):
    assert spoken(data) == Spoken(name)
    end = data.index(b"\r\n\r\n") + 4
    assert all(spoken(data[:cut]) is None for cut in range(1, end - 1))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (request("a.test", "http://evil.test/"), "malformed-request"),
        (request(None, "http://a.test/"), "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: evil.test\r\n\r\n", "malformed-request"),
        (b"GET / HTTP/1.1\nHost: a.test\n\n", "malformed-request"),
        (b"GET / HTTP/1.1\r\nX: y\r\n Host: evil.test\r\nHost: a.test\r\n\r\n", "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost : evil.test\r\nHost: a.test\r\n\r\n", "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\rHost: evil.test\r\n\r\n", "malformed-request"),
        (request("a.test", "a.test:443", "CONNECT"), "no-request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "no-request"),
        (request("user@evil.test"), "bad-name"),
        (request("[2001:db8::1]"), "bad-name"),
        (request("192.0.2.1"), "bad-name"),
    ],
)
def test_a_request_on_whose_name_servers_could_differ_is_refused(data, why):
    assert reason(data) == why


# --- segments ---


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=4), st.integers(0, 2**32 - 1))
def test_segments_in_any_order_and_number_make_the_same_stream(order, again, start):
    data = hello("a.test", padding(100))
    size = -(-len(data) // 8)
    stream, seen = FirstBytes(start), set()
    for number in (*again, *order):
        part = data[number * size : (number + 1) * size]
        kind = stream.add((start + number * size) % 2**32, memoryview(part))
        assert kind is (Segment.COPY if number in seen else Segment.NEW)
        seen.add(number)
        assert stream.spoken() == (Spoken(b"a.test") if len(seen) == 8 else None)


def test_overlapping_segments_must_agree():
    stream = FirstBytes(1)
    stream.add(1, memoryview(b"\x16\x03\x01"))
    assert stream.add(2, memoryview(b"\x03\x01\x02")) is Segment.NEW
    with pytest.raises(UnspokenError, match="overlap"):
        stream.add(3, memoryview(b"\x09\x02"))


def test_bytes_before_the_first_are_a_probe():
    assert FirstBytes(100).add(99, memoryview(b"\0")) is Segment.OLD


def test_a_stream_is_bounded_in_bytes_and_segments():
    stream = FirstBytes(0)
    with pytest.raises(UnspokenError, match="hello-too-long"):
        stream.add(MAX_BYTES, memoryview(b"x"))
    for number in range(MAX_SEGMENTS):
        stream.add(2 * number, memoryview(b"x"))
    with pytest.raises(UnspokenError, match="hello-too-long"):
        stream.add(2 * MAX_SEGMENTS, memoryview(b"x"))
