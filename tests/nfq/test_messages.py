"""The netlink messages of queue and log: read in any order, never raising but `NetlinkDecodeError`, fast and slow alike."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink import message
from netlink.message import NetlinkDecodeError, attribute, be32
from nfq import log_messages, queue_messages
from nfq.counters import QueueCounters
from nfq.held import ACCEPT, Action, Arrival, HeldBatch, Ledger, Verdict
from nfq.log_messages import LogOrigin, LogReader
from nfq.queue import QueueSettings
from nfq.queue_messages import PacketReader, VerdictWriter
from nfq.raw import await_acknowledgement

numbers = st.integers(0, 2**32 - 1)
payloads = st.binary(max_size=40)


class NoSink:
    def give(self, single, rest):
        return True


BATCH = HeldBatch([], Ledger(NoSink(), ACCEPT, QueueCounters()))


def queued(packet_id: int, *attributes: bytes, hook: int = 4) -> bytes:
    head = attribute(1, struct.pack("!IHB", packet_id, 0x0800, hook))
    return message.nf_message(3, 0, 0, 0, 2, head + b"".join(attributes))


def logged(*attributes: bytes, hook: int = 0) -> bytes:
    head = attribute(1, struct.pack("!HBx", 0x0800, hook))
    return message.nf_message(4, 0, 0, 0, 2, head + b"".join(attributes))


def read_queued(reader: PacketReader, data: bytes):
    packet = reader.read(BATCH, data)
    return None if packet is None else (packet.id, bytes(packet.payload), packet.arrival, packet.length)


@st.composite
def queue_attributes(draw):
    """Attributes as the kernel may write them, in any order, with what must be read from them."""
    mark, in_index, out_index = (draw(st.one_of(st.none(), st.integers(0, 3))) for _ in range(3))
    payload = draw(payloads)
    whole = draw(st.one_of(st.none(), st.integers(100, 110)))
    parts = [attribute(9, b"\0\6\0\0" + draw(st.sampled_from([b"\1", b"\2"])) * 8)] * draw(st.integers(0, 1))
    parts += [be32(kind, value) for kind, value in ((3, mark), (5, in_index), (6, out_index)) if value is not None]
    parts += [be32(14, 0)] * draw(st.integers(0, 1))
    if whole is not None:
        parts.append(be32(13, whole))
    parts.append(attribute(10, payload))
    if draw(st.integers(0, 5)) == 0:
        parts = draw(st.permutations(parts))
    arrival = Arrival(4, mark or 0, in_index, out_index)
    return parts, payload, arrival, len(payload) if whole is None else whole


@given(st.lists(st.tuples(numbers, queue_attributes()), max_size=12))
def test_queued_packets_are_read_the_same_whatever_was_read_before(sequence):
    reader = PacketReader()
    for packet_id, (parts, payload, arrival, length) in sequence:
        assert read_queued(reader, queued(packet_id, *parts)) == (packet_id, payload, arrival, length)


def test_repeated_way_is_looked_up_and_not_read_again(monkeypatch):
    reader = PacketReader()
    first = queued(1, be32(5, 3), be32(6, 4), attribute(10, b"abc"))
    second = queued(2, be32(5, 3), be32(6, 4), attribute(10, b"a longer one"))
    read_queued(reader, first)
    monkeypatch.setattr(PacketReader, "_read_slowly", lambda *_: pytest.fail("read slowly"))
    assert read_queued(reader, second) == (2, b"a longer one", Arrival(4, 0, 3, 4), 12)


def test_packets_of_different_layouts_do_not_push_each_other_out(monkeypatch):
    reader = PacketReader()
    layouts = [(), (be32(5, 3),), (be32(5, 3), be32(6, 4)), (be32(6, 4),)]
    for layout in layouts:
        read_queued(reader, queued(1, *layout, attribute(10, b"abc")))
    monkeypatch.setattr(PacketReader, "_read_slowly", lambda *_: pytest.fail("read slowly"))
    for layout in layouts:
        assert read_queued(reader, queued(2, *layout, attribute(10, b"defg")))[1] == b"defg"


def test_ways_do_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(queue_messages, "_ARRIVALS_LIMIT", 3)
    reader = PacketReader()
    for index in range(10):
        data = queued(index, be32(5, index), attribute(10, b"x"))
        assert read_queued(reader, data)[2].in_index == index
        assert len(reader._arrivals) <= 3


@given(
    st.integers(0, 120), st.lists(st.tuples(st.integers(0, 119), st.integers(0, 255)), max_size=4), queue_attributes()
)
def test_broken_queue_message_costs_at_most_its_payload(size, changes, attributes):
    reader = PacketReader()
    whole = queued(7, *attributes[0])
    read_queued(reader, whole)
    data = bytearray(whole)
    for position, value in changes:
        data[position % len(data)] = value
    try:
        packet = reader.read(BATCH, bytes(data[:size]))
    except NetlinkDecodeError:
        return
    assert packet is None or len(packet.payload) <= size


def test_packet_with_a_broken_tail_still_has_an_id_for_its_verdict():
    broken = queued(7, be32(5, 3), b"\xff\xff\x0a\x00rest")
    assert read_queued(PacketReader(), broken) == (7, b"", Arrival(4, 0, 3, None), 0)


def test_packet_without_an_id_is_refused():
    data = message.nf_message(3, 0, 0, 0, 2, be32(5, 3) + attribute(10, bytes(20)))
    with pytest.raises(NetlinkDecodeError, match="its id does not come first"):
        PacketReader().read(BATCH, data)


def test_other_messages_are_no_packets():
    error = message.message(message.NLMSG_ERROR, 0, 0, struct.pack("=i", -2) + bytes(16))
    assert PacketReader().read(BATCH, error) is None
    assert PacketReader().read(BATCH, b"short") is None
    assert queue_messages.refusals(error) == 1
    assert queue_messages.refusals(message.message(message.NLMSG_ERROR, 0, 0, bytes(20))) == 0


def verdict_of(data: bytes):
    (found,) = message.messages(data)
    attributes = dict(message.attributes(found.body))
    action, packet_id = struct.unpack("!II", attributes.pop(2))
    return found, action, packet_id, {kind: bytes(value) for kind, value in attributes.items()}


@given(
    numbers,
    st.sampled_from(Action),
    st.one_of(st.none(), numbers),
    st.one_of(st.none(), payloads),
    st.integers(0, 0xFFFF),
)
def test_verdict_says_id_action_mark_and_payload(packet_id, action, mark, payload, number):
    writer = VerdictWriter(number)
    found, said, said_id, rest = verdict_of(writer.single(packet_id, Verdict(action, mark, payload)))
    assert (found.type, found.flags, said, said_id) == (0x301, message.NLM_F_REQUEST, action, packet_id)
    assert bytes(found.payload[2:4]) == number.to_bytes(2, "big")
    expected = {} if mark is None else {3: mark.to_bytes(4, "big")}
    assert rest == (expected if payload is None else expected | {10: payload})
    found, said, said_id, rest = verdict_of(writer.batch(packet_id, Verdict(action, mark)))
    assert (found.type, said, said_id, rest) == (0x303, action, packet_id, expected)


@pytest.mark.parametrize("fields", [{"mark": -1}, {"mark": 1 << 32}, {"payload": bytes(65532)}])
def test_verdict_that_could_not_be_sent_cannot_be_made(fields):
    with pytest.raises(ValueError, match="cannot give a packet"):
        Verdict(Action.ACCEPT, **fields)


def test_binding_sets_copy_mode_length_and_flags_in_one_message():
    settings = QueueSettings(number=0x1234, copy_bytes=256, max_length=99, fail_open=True)
    (found,) = message.messages(queue_messages.bind(settings, 5))
    assert bytes(found.payload[:4]) == b"\0\0\x12\x34"
    attributes = {kind: bytes(value) for kind, value in message.attributes(found.body)}
    assert attributes == {
        1: b"\1\0\0\0",
        2: struct.pack("!IB", 256, 2),
        3: struct.pack("!I", 99),
        4: b"\0\0\0\5",
        5: b"\0\0\0\1",
    }


@st.composite
def log_attributes(draw):
    prefix = draw(st.sampled_from([b"", b"query", b"denied by default/x"]))
    mark, in_index, out_index = (draw(st.one_of(st.none(), st.integers(0, 3))) for _ in range(3))
    payload = draw(payloads)
    sequence = draw(st.one_of(st.none(), numbers))
    parts = [attribute(10, prefix + b"\0")] if prefix else []
    parts += [be32(kind, value) for kind, value in ((4, in_index), (5, out_index), (2, mark)) if value is not None]
    mac = draw(st.sampled_from([b"", b"\2\0\0\0\0\7"]))
    parts += [attribute(8, b"\0\6\0\0" + mac + b"\0\0")] if mac else []
    parts += [attribute(3, draw(st.binary(min_size=16, max_size=16)))] * draw(st.integers(0, 1))
    parts += [] if sequence is None else [be32(12, sequence)]
    parts += [be32(11, 1000)] * draw(st.sampled_from([0, 0, 0, 1]))
    parts.append(attribute(9, payload))
    if draw(st.integers(0, 5)) == 0:
        parts = draw(st.permutations(parts))
    return parts, payload, LogOrigin(prefix, 0, mark or 0, in_index, out_index, mac), sequence


@given(st.lists(st.lists(log_attributes(), max_size=4), max_size=4))
def test_logged_packets_are_read_the_same_whatever_was_read_before(datagrams):
    reader = LogReader()
    for datagram in datagrams:
        data = b"".join(logged(*parts) for parts, _, _, _ in datagram)
        done = message.message(message.NLMSG_DONE, 0, 0, bytes(4))
        found = [(bytes(p.payload), p.origin, p.sequence) for p in reader.read(data + done)]
        assert found == [(payload, origin, sequence) for _, payload, origin, sequence in datagram]


def test_repeated_origin_is_looked_up_and_not_read_again(monkeypatch):
    reader = LogReader()

    def message_of(payload, sequence, stamp):
        parts = attribute(10, b"q\0"), be32(4, 3), attribute(3, stamp * 16), be32(12, sequence), attribute(9, payload)
        return logged(*parts)

    list(reader.read(message_of(b"one", 1, b"a")))
    monkeypatch.setattr(LogReader, "_read_slowly", lambda *_: pytest.fail("read slowly"))
    (found,) = reader.read(message_of(b"another", 2, b"b"))
    assert (bytes(found.payload), found.sequence, found.origin) == (b"another", 2, LogOrigin(b"q", 0, 0, 3, None))


@pytest.mark.parametrize(
    ("tail", "sequence", "payload"),
    [
        ([], None, b""),
        ([be32(12, 5)], 5, b""),
        ([be32(11, 5), attribute(9, b"abcd")], None, b"abcd"),
        ([be32(12, 5), be32(11, 6), attribute(9, b"abcd")], 5, b"abcd"),
        ([be32(11, 6), be32(12, 5), attribute(9, b"abcd")], 5, b"abcd"),
    ],
)
def test_known_origin_with_an_unusual_tail_is_read_carefully(tail, sequence, payload):
    reader = LogReader()
    list(reader.read(logged(be32(4, 3), be32(12, 1), attribute(9, b"usual"))))
    for _ in range(2):
        (found,) = reader.read(logged(be32(4, 3), *tail))
        assert (found.sequence, bytes(found.payload), found.origin.in_index) == (sequence, payload, 3)


def test_origins_do_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(log_messages, "_ORIGINS_LIMIT", 3)
    reader = LogReader()
    for index in range(10):
        (found,) = reader.read(logged(be32(4, index), be32(12, index), attribute(9, b"x")))
        assert found.origin.in_index == index
        assert len(reader._origins) <= 3


@given(st.integers(0, 160), st.lists(st.tuples(st.integers(0, 159), st.integers(0, 255)), max_size=4), log_attributes())
def test_broken_log_message_raises_nothing_but_decode_error(size, changes, attributes):
    reader = LogReader()
    whole = logged(*attributes[0]) * 2
    list(reader.read(whole))
    data = bytearray(whole)
    for position, value in changes:
        data[position % len(data)] = value
    try:
        found = list(reader.read(bytes(data[:size])))
    except NetlinkDecodeError:
        return
    assert all(len(packet.payload) <= size for packet in found)


@pytest.fixture
def sockets():
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    yield ours, kernels
    ours.close()
    kernels.close()


def test_packets_before_the_acknowledgement_are_kept(sockets):
    ours, kernels = sockets
    early = [queued(index, attribute(10, b"x")) for index in (1, 2)]
    for data in early:
        kernels.send(data)
    kernels.send(message.message(message.NLMSG_ERROR, 0, 1, bytes(20)))
    kernels.send(b"later")
    assert await_acknowledgement(ours) == early


def test_refused_set_up_raises_its_errno(sockets):
    ours, kernels = sockets
    kernels.send(message.message(message.NLMSG_ERROR, 0, 1, struct.pack("=i", -1) + bytes(16)))
    with pytest.raises(PermissionError):
        await_acknowledgement(ours)


def test_missing_answer_is_not_awaited_for_ever(sockets, monkeypatch):
    monkeypatch.setattr("nfq.raw._ANSWER_SECONDS", 0.01)
    with pytest.raises(TimeoutError):
        await_acknowledgement(sockets[0])


@pytest.mark.parametrize(
    ("value", "mac"),
    [
        (b"", b""),
        (b"\0\6", b""),
        (b"\0\6\0\0\1\2", b"\1\2"),
        (b"\xff\xff\0\0" + b"\1" * 8, b"\1" * 8),
        (b"\0\6\0\0" + bytes(8), b""),
    ],
)
def test_a_hardware_address_is_never_longer_than_its_attribute(value, mac):
    (found,) = LogReader().read(logged(attribute(8, value), attribute(9, b"x")))
    assert found.origin.mac == mac
