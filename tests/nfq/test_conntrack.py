"""Connections are found by their original addresses, and cut exactly."""

import socket
import subprocess
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from netlink import message
from netlink.message import attribute, be16, be32, nested
from nfq.connection import delete_request, list_request, read_connection
from nfq.conntrack import Conntrack, _family
from nfq.packet import FiveTuple
from tests.nfq.wire import wire

RULES = """
table inet zones {
  chain raw { type filter hook output priority -300;
    udp dport 7000 ct zone set 9
    udp sport 7000 ct zone set 9
  }
  chain judge { type filter hook output priority 20;
    ct state established accept
    udp dport 6000 meta mark set 0x1
  }
}
"""


@pytest.fixture(scope="module")
def namespace():
    with wire() as own:
        own.nft(RULES)
        own.namespace.ip("address", "add", "fd00::1/128", "dev", "lo")
        yield own.namespace


@pytest.fixture
def flows(namespace):
    """Makes UDP flows that were answered, so that they are established."""
    with ExitStack() as stack:

        def flow(source, destination, port=6000, count=1):
            family = socket.AF_INET6 if ":" in source else socket.AF_INET
            for _ in range(count):
                with namespace.entered():
                    client, server = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
                stack.enter_context(client)
                with server:
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    server.bind((destination, port))
                    client.bind((source, 0))
                    client.connect((destination, port))
                    client.send(b"question")
                    server.sendto(b"answer", server.recvfrom(64)[1])
            return client

        yield flow


@pytest.fixture
def conntrack(namespace):
    with namespace.entered():
        own = Conntrack()
    with own:
        own.cut()
        yield own


@pytest.mark.kernel
def test_connections_are_found_by_original_source_and_destination(conntrack, flows):
    client = flows("127.0.0.2", "127.0.0.9")
    flows("127.0.0.3", "127.0.0.9")
    flows("127.0.0.2", "127.0.0.8")
    (found,) = conntrack.connections(source=ip_address("127.0.0.2"), destination=ip_address("127.0.0.9"))
    port = client.getsockname()[1]
    ours, theirs = bytes([127, 0, 0, 2]), bytes([127, 0, 0, 9])
    assert found.original == FiveTuple(4, 17, ours, theirs, port, 6000)
    assert found.reply == FiveTuple(4, 17, theirs, ours, 6000, port)
    assert len(conntrack.connections(source=ip_address("127.0.0.2"))) == 2
    assert len(conntrack.connections(destination=ip_address("127.0.0.9"))) == 2
    assert len(conntrack.connections()) == 3


@pytest.mark.kernel
def test_kernel_itself_leaves_out_what_was_not_asked_for(conntrack, flows):
    flows("127.0.0.2", "127.0.0.9", count=3)
    flows("127.0.0.3", "127.0.0.9")
    request = list_request(ip_address("127.0.0.3"), None)
    data = message.nf_message(1, 1, message.NLM_F_REQUEST | message.NLM_F_DUMP, 99, socket.AF_INET, request)
    assert len(list(conntrack._netlink.dump(data, 99))) == 1


@pytest.mark.kernel
def test_cut_connection_is_judged_anew(conntrack, flows, namespace):
    cut, kept = flows("127.0.0.2", "127.0.0.9"), flows("127.0.0.3", "127.0.0.9")
    assert conntrack.cut(source=ip_address("127.0.0.2")) == 1
    listing = subprocess.run(namespace.inside("conntrack", "-L"), capture_output=True, text=True, check=True).stdout
    assert "src=127.0.0.3" in listing
    assert "src=127.0.0.2" not in listing
    with namespace.entered():
        witness = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with witness:
        witness.setsockopt(socket.SOL_SOCKET, 75, 1)
        witness.bind(("127.0.0.9", 6000))
        marks = []
        for client in (kept, cut):
            client.send(b"more")
            marks.append(int.from_bytes(witness.recvmsg(64, 64)[1][0][2], "little"))
    assert marks == [0, 1]


@pytest.mark.kernel
def test_spared_connections_stay(conntrack, flows):
    flows("127.0.0.2", "127.0.0.9")
    flows("127.0.0.2", "127.0.0.8", count=2)
    spared = bytes([127, 0, 0, 8])
    assert conntrack.cut(source=ip_address("127.0.0.2"), unless=lambda one: one.reply.source == spared) == 1
    assert {one.original.destination for one in conntrack.connections()} == {spared}


@pytest.mark.kernel
def test_ipv6_connections_are_cut_by_destination(conntrack, flows):
    flows("::1", "::1")
    flows("fd00::1", "fd00::1")
    flows("127.0.0.1", "127.0.0.9")
    (found,) = conntrack.connections(destination=ip_address("::1"))
    assert (found.original.version, found.original.source) == (6, bytes(15) + b"\1")
    assert conntrack.cut(destination=ip_address("::1")) == 1
    assert {one.original.version for one in conntrack.connections()} == {4, 6}


@pytest.mark.kernel
def test_connection_in_a_zone_is_cut(conntrack, flows):
    flows("127.0.0.2", "127.0.0.9", port=7000)
    found = conntrack.connections(source=ip_address("127.0.0.2"))
    assert [one.zone for one in found] == [9]
    assert conntrack.cut(source=ip_address("127.0.0.2")) == 1


@pytest.mark.kernel
def test_connection_that_is_gone_is_no_error(conntrack, flows):
    flows("127.0.0.2", "127.0.0.9")
    found = conntrack.connections()
    assert conntrack.delete(found) == 1
    assert conntrack.delete(found) == 0


@pytest.mark.kernel
def test_hundreds_are_cut_in_batches(conntrack, flows):
    flows("127.0.0.2", "127.0.0.9", count=250)
    assert conntrack.cut(source=ip_address("127.0.0.2")) == 250
    assert conntrack.connections() == []


def test_addresses_of_two_families_find_nothing():
    with pytest.raises(ValueError, match="different families"):
        _family(ip_address("127.0.0.1"), ip_address("::1"))


def test_kernel_is_not_asked_to_compare_ipv6_addresses():
    """It lists exactly the others then."""
    assert list_request(ip_address("::1"), ip_address("::1")) == b""
    assert list_request(None, None) == b""


def entry(*attributes: bytes) -> message.Message:
    (found,) = message.messages(message.nf_message(1, 0, 0, 1, 2, b"".join(attributes)))
    return found


def tuple_of(kind: int, source: bytes, destination: bytes, *protocol: bytes) -> bytes:
    addresses = nested(1, attribute(1, source), attribute(2, destination))
    return nested(kind, addresses, nested(2, *protocol))


def test_protocol_without_ports_has_none():
    ping = attribute(1, b"\1"), be16(4, 77), attribute(5, b"\x08"), attribute(6, b"\0")
    found = read_connection(
        entry(tuple_of(1, b"abcd", b"efgh", *ping), tuple_of(2, b"efgh", b"abcd", *ping), be32(8, 5), be32(12, 6))
    )
    assert found is not None
    assert found.original == FiveTuple(4, 1, b"abcd", b"efgh", None, None)
    assert (found.mark, found.zone, found.id) == (5, 0, b"\0\0\0\6")


@pytest.mark.parametrize("attributes", [(), (nested(1),), (nested(1, nested(1)), nested(2)), (b"\x05\0\x01\x80x",)])
def test_entry_that_names_no_connection_is_left_out(attributes):
    assert read_connection(entry(*attributes)) is None


def test_deletion_always_names_its_connection():
    """A deletion without a tuple would empty the table."""
    udp = attribute(1, b"\x11"), be16(2, 1000), be16(3, 53)
    found = read_connection(
        entry(tuple_of(1, b"abcd", b"efgh", *udp), tuple_of(2, b"efgh", b"abcd", *udp), be32(12, 6), be16(18, 9))
    )
    assert found is not None
    (request,) = message.messages(delete_request(found, 3))
    attributes = {kind: bytes(value) for kind, value in message.attributes(request.body)}
    assert attributes == {1: found.key, 12: b"\0\0\0\6", 18: b"\0\x09"}
    assert bytes(request.payload[:1]) == b"\2"
