"""Entries are read the quick way as they are read the careful way, and nothing that is no entry is read as one."""

import socket
import struct
from contextlib import closing
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink import message
from netlink.message import Message
from netlink.transport import NetlinkSocket
from nfq.connection import peek, read_connection, read_listed
from nfq.conntrack import Conntrack
from tests.lab.entries import Entry, insert
from tidegate.demo.namespace import Namespace

FOUR, SIX, SERVICE = ip_address("10.0.1.2"), ip_address("fd00::2"), ip_address("10.96.0.7")
WORLD4, WORLD6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
ENTRIES = [
    *(Entry(source=FOUR, destination=WORLD4, protocol=number) for number in (6, 17, 132, 1, 50)),
    *(Entry(source=SIX, destination=WORLD6, protocol=number) for number in (6, 17, 132, 58)),
    Entry(source=FOUR, destination=SERVICE, target=WORLD4, port=80, target_port=8080, source_port=40001),
]


@pytest.fixture(scope="module")
def namespace():
    made = Namespace.create("entries")
    rules = "add table inet t; add chain inet t c { type filter hook output priority 0; ct state new; }"
    made.command("nft", rules)
    yield made
    made.delete()


@pytest.fixture
def listed(namespace):
    """The messages of a list, and their entries."""
    with namespace.entered(), closing(NetlinkSocket()) as link, Conntrack() as table:
        table.cut()
        insert(ENTRIES)
        sequence = link.next_sequence()
        flags = message.NLM_F_REQUEST | message.NLM_F_DUMP
        asked = message.nf_message(message.NFNL_SUBSYS_CTNETLINK, 1, flags, sequence, 0, b"")
        return [Message(m.type, m.flags, 0, 0, memoryview(bytes(m.payload))) for m in link.dump(asked, sequence)]


@pytest.mark.kernel
def test_the_quick_way_says_what_the_careful_way_says(listed):
    assert len(listed) == len(ENTRIES)
    for one in listed:
        careful, quick = read_connection(one), read_listed(one)
        assert (quick.original, quick.reply, quick.icmp) == (careful.original, careful.reply, careful.icmp)
        assert quick.whole() == careful
        assert peek(one.body) == (careful.original.source, careful.original.destination, careful.reply.source)
        assert careful.key in quick.key


@pytest.mark.kernel
def test_icmp_has_its_type_and_others_have_none(listed):
    known = {found.original.protocol: found.icmp for found in map(read_connection, listed)}
    assert (known[1], known[58], known[6], known[50]) == ((8, 0), (128, 0), None, None)


@pytest.mark.kernel
def test_a_list_in_pieces_gives_only_what_is_wanted(namespace):
    with namespace.entered(), Conntrack() as table:
        table.cut()
        insert(ENTRIES)
        behind = list(table.scan(lambda source, to, replies: to != replies))
        assert [(one.original.destination, one.reply.source) for one in behind] == [(SERVICE.packed, WORLD4.packed)]
        assert table.delete([one.whole() for one in behind]) == 1
        assert len(table.connections()) == len(ENTRIES) - 1


@pytest.mark.kernel
def test_a_segment_from_the_middle_makes_an_entry_that_says_so(namespace):
    """nf_conntrack_tcp_loose: to the rules it is a new connection, from whichever end it comes."""
    with namespace.entered(), Conntrack() as table:
        table.cut()
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            far, _ = server.accept()
            with far:
                (whole,) = table.connections()
                assert not whole.is_picked_up
                assert table.delete([whole]) == 1
                far.send(b"from the far end")
                assert client.recv(64) == b"from the far end"
                (picked,) = table.connections()
                assert picked.is_picked_up
                assert picked.original == whole.reply, "the server counts as who began it"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_entry_are_none(data):
    entry = Message(0, 0, 0, 0, memoryview(b"\0\0\0\0" + data))
    assert peek(entry.body) is None or len(data) >= 40
    found = read_listed(entry)
    assert found is None or found.original.version in (4, 6)


@given(st.integers(0, 103), st.integers(0, 255))
def test_a_changed_byte_is_another_value_or_no_quick_reading_but_never_an_error(place, value):
    data = bytearray(_plain())
    data[place] = value
    entry = Message(0, 0, 0, 0, memoryview(b"\0\0\0\0" + bytes(data)))
    peek(entry.body)
    read_listed(entry)


def _plain() -> bytes:
    """An entry of TCP as the kernel writes it."""

    def one(kind, source, to, source_port, port):
        ip = message.nested(1, message.attribute(1, source), message.attribute(2, to))
        ports = struct.pack("!H", source_port), struct.pack("!H", port)
        protocol = message.nested(2, message.u8(1, 6), message.attribute(2, ports[0]), message.attribute(3, ports[1]))
        return message.nested(kind, ip, protocol)

    data = one(1, FOUR.packed, WORLD4.packed, 4, 5) + one(2, WORLD4.packed, FOUR.packed, 5, 4) + message.be32(3, 14)
    assert read_listed(Message(0, 0, 0, 0, memoryview(b"\0\0\0\0" + data))) is not None
    return data
