"""Totals are what the events say, however windows fall; bounded, and what finds no room is counted."""

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from netlink import message
from nfq.flow_events import DELETE, NEW, NOTHING, Counts, FlowEvent, FlowReader, flow_events
from nfq.packet import FiveTuple
from reconcile.instant import WallInstant
from tidegate.flows import table as flow_table
from tidegate.flows.table import NO_LOSS, Fate, FlowKey, FlowTable, Loss

POD, OTHER, WORLD, SERVICE = (ip_address(text).packed for text in ("10.0.1.2", "10.0.1.3", "198.51.100.7", "10.96.0.1"))
NOW = WallInstant(1_800_000_000.0)


def five(source=POD, destination=WORLD, sport=40000, dport=443, protocol=6):
    return FiveTuple(4, protocol, source, destination, sport, dport)


def event(flow, *, real=None, is_end=False, counts=NOTHING, identity=b"id"):
    reply = FiveTuple(
        flow.version, flow.protocol, real or flow.destination, flow.source, flow.destination_port, flow.source_port
    )
    return FlowEvent(is_end, flow, reply, counts, 0, 0, identity)


def made(local=(POD,), **options):
    found = FlowTable(NOW, tells_allowed_ports=False, tells_denied_ports=False, **options)
    found.set_local(frozenset(local))
    return found


def only(window):
    [(key, totals)] = window.totals.items()
    return key, totals


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(*[st.integers(0, 1000)] * 4), max_size=5), st.booleans(), st.integers(0, 2)),
        max_size=12,
    ),
    st.sets(st.integers(0, 60)),
)
@settings(max_examples=150, deadline=None)
def test_windows_add_up_to_what_connections_carried(connections, takes):
    """Connections grow, are looked at while open, and end or not; the sum over windows is exact for all that ended."""
    table, step, sums = made(), 0, Counts(0, 0, 0, 0)
    started = completed = 0

    def take():
        nonlocal sums, started, completed
        for totals in table.take(NOW).totals.values():
            sums = Counts(*(one + other for one, other in zip(sums, totals.counts, strict=True)))
            started, completed = started + totals.started, completed + totals.completed

    expected = Counts(0, 0, 0, 0)
    for number, (growth, ends, looks) in enumerate(connections):
        flow, identity, carried = five(sport=1000 + number), bytes([number]), Counts(0, 0, 0, 0)
        table.on_event(event(flow, identity=identity), NOW)
        for more in growth:
            carried = Counts(*(one + other for one, other in zip(carried, more, strict=True)))
            for _ in range(looks):
                table.on_open(event(flow, counts=carried, identity=identity), NOW)
                table.forget(NOW)
            step += 1
            if step in takes:
                take()
        told = carried if looks else Counts(0, 0, 0, 0)
        if ends:
            table.on_event(event(flow, is_end=True, counts=carried, identity=identity), NOW)
            told = carried
        expected = Counts(*(one + other for one, other in zip(expected, told, strict=True)))
    take()
    assert sums == expected
    assert (started, completed) == (len(connections), sum(ends for _, ends, _ in connections))


def test_connections_of_nobody_here_are_left_out():
    table = made()
    table.on_event(event(five(source=OTHER)), NOW)
    table.on_open(event(five(source=OTHER), counts=Counts(1, 1, 1, 1)), NOW)
    assert table.take(NOW).totals == {}


def test_a_workload_that_is_known_by_the_end_of_the_window_is_told_of_from_its_beginning():
    table = made(local=())
    table.on_event(event(five()), NOW)
    table.set_local({POD})
    assert only(table.take(NOW))[1].started == 1


def test_a_total_is_of_the_address_asked_for_and_of_the_real_one():
    table = made(local=(OTHER,))
    table.on_event(event(five(destination=SERVICE, dport=80), real=OTHER), NOW)
    key, _ = only(table.take(NOW))
    assert (key.flow.destination, key.real_destination, key.flow.source_port) == (SERVICE, OTHER, None)


def test_source_ports_are_told_apart_where_asked():
    table = FlowTable(NOW, tells_allowed_ports=True, tells_denied_ports=True)
    table.set_local({POD})
    for port in (1, 2, 2):
        table.on_event(event(five(sport=port)), NOW)
        table.on_denied(Fate.DENIED_EGRESS, five(sport=port), None, 60, NOW)
    found = {(key.fate, key.flow.source_port): totals for key, totals in table.take(NOW).totals.items()}
    assert {key: totals.flows for key, totals in found.items()} == {
        (Fate.ALLOWED, 1): 1, (Fate.ALLOWED, 2): 2, (Fate.DENIED_EGRESS, 1): 1, (Fate.DENIED_EGRESS, 2): 1,
    }  # fmt: skip


def test_repetitions_of_a_denied_packet_are_packets_and_no_attempts():
    table = made()
    for port in (1, 1, 1, 2):
        table.on_denied(Fate.DENIED_INGRESS, five(sport=port), None, 60, NOW)
    _, totals = only(table.take(NOW))
    assert (totals.counts, totals.flows) == (Counts(4, 240, 0, 0), 2)


def test_a_held_packet_is_denied_unless_its_connection_begins():
    table = made(hold_seconds=2.0)
    allowed, denied, returned = five(sport=1), five(sport=2), five(sport=3)
    for flow in (allowed, denied, returned):
        table.on_held(Fate.DENIED_EGRESS, flow, None, 60, NOW)
    table.on_event(event(allowed), NOW)
    table.on_denied(Fate.DENIED_EGRESS, returned, None, 60, NOW)
    early = table.take(WallInstant(NOW + 1)).totals
    assert {key.fate: totals.flows for key, totals in early.items()} == {Fate.ALLOWED: 1, Fate.DENIED_EGRESS: 1}
    key, totals = only(table.take(WallInstant(NOW + 2)))
    assert (key.fate, totals.counts.packets_out, totals.ports) == (Fate.DENIED_EGRESS, 1, {2})
    assert table.take(WallInstant(NOW + 9)).totals == {}


def test_a_held_packet_to_a_service_is_known_by_its_real_destination():
    table = made(hold_seconds=2.0)
    table.on_held(Fate.DENIED_EGRESS, five(destination=OTHER, dport=8080), None, 60, NOW)
    began = event(five(destination=SERVICE, dport=80))
    table.on_event(began._replace(reply=five(OTHER, POD, 8080, 40000)), NOW)
    assert {key.fate for key in table.take(WallInstant(NOW + 5)).totals} == {Fate.ALLOWED}


def test_what_finds_no_room_is_counted(monkeypatch):
    monkeypatch.setattr(flow_table, "MAX_KEYS", 2)
    table = made(hold_seconds=2.0)
    for port in (1, 2, 3, 4):
        table.on_event(event(five(dport=port)), NOW)
        table.on_denied(Fate.DENIED_EGRESS, five(dport=port), None, 60, NOW)
        table.on_held(Fate.DENIED_EGRESS, five(dport=100 + port), None, 60, NOW)
    window = table.take(NOW)
    assert len(window.totals) == 2
    assert window.loss.totals == 6 + 2
    assert table.take(NOW).loss == NO_LOSS


def test_losses_are_told_once():
    table = made()
    table.on_lost(Loss(overruns=1, copies=5))
    table.on_lost(Loss(copies=2))
    assert table.take(NOW).loss == Loss(overruns=1, copies=7)
    assert table.take(NOW).loss == NO_LOSS


def test_open_connections_are_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr(flow_table, "MAX_OPEN", 1)
    table, counts = made(), Counts(1, 100, 0, 0)
    for number in (1, 2):
        table.on_open(event(five(dport=number), counts=counts, identity=bytes([number])), NOW)
    table.forget(NOW)
    assert {key.real_port for key in table.take(NOW).totals} == {1}
    table.on_event(event(five(dport=2), is_end=True, counts=counts, identity=b"\2"), NOW)
    _, totals = only(table.take(NOW))
    assert totals.counts == counts


def test_an_end_that_is_told_late_counts_nothing_twice():
    table, counts = made(), Counts(5, 500, 0, 0)
    table.on_open(event(five(), counts=counts), NOW)
    assert only(table.take(NOW))[1].counts == counts
    table.forget(WallInstant(NOW + flow_table.REMEMBERED_SECONDS))
    table.on_event(event(five(), is_end=True, counts=counts), WallInstant(NOW + flow_table.REMEMBERED_SECONDS))
    _, totals = only(table.take(NOW))
    assert (totals.counts, totals.completed) == (Counts(0, 0, 0, 0), 1)
    table.on_open(event(five(), counts=counts), NOW)
    table.forget(WallInstant(NOW + flow_table.REMEMBERED_SECONDS + 1))
    assert table._told == {}


def test_an_identity_that_comes_again_is_another_connection():
    table = made()
    table.on_open(event(five(), counts=Counts(9, 900, 9, 900)), NOW)
    table.forget(NOW)
    table.take(NOW)
    table.on_event(event(five(), is_end=True, counts=Counts(2, 80, 1, 40)), NOW)
    _, totals = only(table.take(NOW))
    assert totals.counts == Counts(2, 80, 1, 40)


# --- The kernel's messages ---


def _tuple(kind, source, destination, sport, dport, protocol=17):
    ip = message.nested(1, message.attribute(1, source), message.attribute(2, destination))
    ports = message.nested(2, message.u8(1, protocol), message.be16(2, sport), message.be16(3, dport))
    return message.nested(kind, ip, ports)


def _datagram(kind, *more):
    body = _tuple(1, POD, SERVICE, 5, 53) + _tuple(2, OTHER, POD, 5353, 5) + b"".join(more)
    return message.nf_message(1, kind & 0xFF, 0, 0, 2, body)


def test_an_event_is_read_whole():
    counters = [message.nested(kind, message.be64(1, packets), message.be64(2, size))
                for kind, packets, size in ((9, 3, 300), (10, 2, 1 << 40))]  # fmt: skip
    times = message.nested(20, message.be64(1, 7), message.be64(2, 9))
    [found] = flow_events(_datagram(DELETE, message.be32(12, 77), message.be32(3, 8), *counters, times))
    assert found == FlowEvent(
        True,
        five(POD, SERVICE, 5, 53, 17),
        five(OTHER, POD, 5353, 5, 17),
        Counts(3, 300, 2, 1 << 40),
        7,
        9,
        b"\0\0\0\x4d",
    )
    [began] = flow_events(_datagram(NEW, message.be32(12, 77), message.be32(3, 8)))
    assert (began.is_end, began.counts, began.started_ns) == (False, NOTHING, 0)


def _times(start, stop=None):
    parts = [message.be64(1, start)] + ([] if stop is None else [message.be64(2, stop)])
    return message.nested(20, *parts)


def _counters(kind, packets, size):
    return message.nested(kind, message.be64(1, packets), message.be64(2, size))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NEW, DELETE]),
            st.integers(4, 5),
            st.integers(0, 2**64 - 1),
            st.lists(
                st.sampled_from(["id", "status", "out", "in", "times", "start", "proto", "zone", "odd"]), unique=True
            ),
        ),
        max_size=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_reader_that_remembers_shapes_reads_what_one_without_memory_reads(items):
    """Whatever order and selection of attributes come, and in whatever sequence of messages."""
    reader = FlowReader()
    for kind, port, value, chosen in items:
        small = value % (1 << 32)
        attributes = {
            "id": message.be32(12, small), "status": message.be32(3, small), "out": _counters(9, value, small),
            "in": _counters(10, small, value), "times": _times(value, small), "start": _times(value),
            "proto": message.nested(4, message.nested(1, message.u8(1, port))), "zone": message.be16(18, port),
            "odd": message.attribute(40, bytes(value % 7)),
        }  # fmt: skip
        names = [name for name in chosen if name != "start" or "times" not in chosen]
        data = _datagram(kind, *(attributes[name] for name in names))
        assert list(reader.read(data)) == list(flow_events(data)) == list(reader.read(data))
        [found] = reader.read(data)
        assert found.is_end == (kind == DELETE)
        assert found.identity == (small.to_bytes(4, "big") if "id" in names else b"")
        assert found.counts.packets_out == (value if "out" in names else 0)
        assert found.counts.bytes_in == (value if "in" in names else 0)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_strange_bytes_behind_the_tuples_harm_nobody(data):
    reader = FlowReader()
    list(reader.read(_datagram(DELETE, bytes(len(data)))))
    for _ in reader.read(_datagram(DELETE, data)):
        pass


def test_keys_are_values():
    assert FlowKey(Fate.ALLOWED, five(), WORLD, 443) == FlowKey(Fate.ALLOWED, five(), WORLD, 443)
