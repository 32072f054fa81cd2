"""The queue rule in both encodings, on packets."""

import socket
import struct

import pytest

from netlink import message
from netlink.transport import NetlinkSocket
from nft.compat import write_queue_rule
from nft.errors import NftError
from nft.expr import Queue
from nft.transport import KernelTransport

pytestmark = pytest.mark.kernel

ENCODINGS = [
    pytest.param(False, id="compat", marks=pytest.mark.needs("compat_queue")),
    pytest.param(True, id="native", marks=pytest.mark.needs("native_queue")),
]

TABLE = """
add table inet tg
add chain inet tg held
add chain inet tg output { type filter hook output priority 0; }
add rule inet tg output udp dport 9 goto held
"""


@pytest.fixture
def kernel(netns):
    loopback_up()
    kernel = KernelTransport()
    kernel.run(TABLE)
    return kernel


@pytest.fixture
def link(kernel):
    link = NetlinkSocket()
    yield link
    link.close()


def loopback_up():
    rtnetlink = NetlinkSocket(0)
    request = message.message(16, 5, 1, struct.pack("=BxHiII", 0, 0, 1, 1, 1))  # RTM_NEWLINK lo IFF_UP
    rtnetlink.request(request, 1)
    rtnetlink.close()


def listener(number):
    """A socket bound to the queue, which gets 64 bytes of each packet."""
    link = NetlinkSocket()
    for attribute in (message.attribute(1, struct.pack("!BxH", 1, 2)), message.attribute(2, struct.pack("!IB", 64, 2))):
        sequence = link.next_sequence()
        link.request(message.nf_message(message.NFNL_SUBSYS_QUEUE, 2, 5, sequence, 0, attribute, number), sequence)
    link.raw.settimeout(2)
    return link


def send():
    """One datagram to nobody. True if it left (and was refused by ICMP), False if the queue took or dropped it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.1)
        sender.connect(("127.0.0.1", 9))
        try:
            sender.send(b"discard")
            sender.recv(1)
        except ConnectionRefusedError:
            return True
        except (TimeoutError, PermissionError):
            return False
    raise AssertionError


@pytest.mark.parametrize("native", ENCODINGS)
def test_a_queued_packet_reaches_its_listener(link, native):
    write_queue_rule(link, "tg", "held", Queue(7), native=native)
    reader = listener(7)
    assert not send()
    packets = list(message.messages(reader.raw.recv(1 << 16)))
    assert [packet.type for packet in packets] == [message.NFNL_SUBSYS_QUEUE << 8]
    reader.close()


@pytest.mark.parametrize("native", ENCODINGS)
@pytest.mark.parametrize("bypass", [False, True])
def test_without_a_listener_bypass_decides(link, native, bypass):
    write_queue_rule(link, "tg", "held", Queue(7, bypass=bypass), native=native)
    assert send() is bypass


@pytest.mark.parametrize("native", ENCODINGS)
def test_the_chain_holds_one_rule_however_often_it_is_written(kernel, link, native):
    for number in (7, 8, 8):
        write_queue_rule(link, "tg", "held", Queue(number), native=native, comment="held")
    rules = [each["rule"] for each in kernel.listing("list chain inet tg held") if "rule" in each]
    assert [rule["comment"] for rule in rules] == ["held"]
    assert not send()


@pytest.mark.needs("native_queue")
def test_the_listing_shows_a_native_queue_rule(kernel, link):
    write_queue_rule(link, "tg", "held", Queue(7, bypass=True), native=True)
    rule = next(each["rule"] for each in kernel.listing("list chain inet tg held") if "rule" in each)
    assert {"queue": {"num": 7, "flags": "bypass"}} in rule["expr"]


@pytest.mark.parametrize("native", ENCODINGS)
def test_a_missing_chain_is_an_error_that_names_it(link, native):
    with pytest.raises(NftError, match="chain gone of table tg") as absent:
        write_queue_rule(link, "tg", "gone", Queue(7), native=native)
    assert absent.value.is_absent
