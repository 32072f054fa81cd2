"""Sinks: what they are sent, and that a sink that is slow, away or unwilling costs its own records alone, counted."""

import json
import re
import socket
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packetlog.test_records import AT, PLACE, logged
from tidegate.config import sources
from tidegate.packetlog.formats import journal_entry, otlp_body, syslog_message
from tidegate.packetlog.outlets import Outlets, SinkThread
from tidegate.packetlog.record import read_record
from tidegate.packetlog.sinks import DatagramSink, LineSink, OtlpSink, SinkRefusedError, open_sink

PACKET = bytes.fromhex("4500002800010000400600000a000001c63364010fa001bb00000000000000005002200000000000")
RECORD = read_record(logged(PACKET), PLACE, AT).document()


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


# --- formats ---


def test_a_syslog_message_has_the_header_of_rfc_5424_and_the_record():
    head, _, body = syslog_message(RECORD, "node1", 42).decode().partition(" LOG - ")
    assert head == "<30>1 2023-11-14T22:13:20.250000+00:00 node1 tidegate 42"
    assert json.loads(body) == RECORD


def read_journal(data):
    """The fields, by the protocol's two forms."""
    fields = {}
    while data:
        head, _, data = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            length = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + length], data[9 + length :]
        fields[name.decode()] = value.decode()
    return fields


def test_a_journal_entry_has_a_line_for_people_and_the_fields():
    fields = read_journal(journal_entry(RECORD))
    assert fields["SYSLOG_IDENTIFIER"] == "tidegate"
    assert fields["MESSAGE"].startswith(RECORD["time"])
    assert (fields["TIDEGATE_ENDPOINT"], fields["TIDEGATE_TCP_FLAGS"]) == ("shop/web", "SYN")
    assert "TIDEGATE_ICMP_TYPE" not in fields
    assert all(re.fullmatch("[A-Z][A-Z0-9_]*", name) for name in fields)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_value_can_add_a_field_to_a_journal_entry(text):
    fields = read_journal(journal_entry({**RECORD, "prefix": text}))
    assert fields["TIDEGATE_PREFIX"] == text
    assert fields.keys() == read_journal(journal_entry(RECORD)).keys()


def test_an_export_has_times_in_nanoseconds_and_typed_attributes():
    body = json.loads(otlp_body([RECORD, RECORD], "node1"))
    (resource,) = body["resourceLogs"]
    assert {"key": "host.name", "value": {"stringValue": "node1"}} in resource["resource"]["attributes"]
    first, _ = resource["scopeLogs"][0]["logRecords"]
    assert first["timeUnixNano"] == "1700000000250000000"
    values = {item["key"]: item["value"] for item in first["attributes"]}
    assert values["tidegate.destination_port"] == {"intValue": "443"}
    assert values["tidegate.tcp_flags"] == {"arrayValue": {"values": [{"stringValue": "SYN"}]}}
    assert "tidegate.icmp_type" not in values


# --- sinks ---


def test_syslog_and_journald_get_a_datagram_for_each_record(tmp_path):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(tmp_path / "log"))
        with closing(open_sink(f"syslog:{tmp_path / 'log'}", "node1")) as sink:
            sink.send([RECORD])
        assert listener.recv(65536).startswith(b"<30>1 ")
        with closing(DatagramSink(tmp_path / "log", journal_entry)) as sink:
            sink.send([RECORD])
        assert read_journal(listener.recv(65536))["PRIORITY"] == "6"


def test_syslog_goes_by_udp(tmp_path):
    del tmp_path
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as listener:
        listener.bind(("127.0.0.1", 0))
        with closing(open_sink(f"syslog:udp://127.0.0.1:{listener.getsockname()[1]}", "node1")) as sink:
            sink.send([RECORD])
        listener.settimeout(10)
        assert json.loads(listener.recv(65536).partition(b" LOG - ")[2]) == RECORD


def test_a_socket_that_is_not_there_is_an_error_and_later_it_is_met(tmp_path):
    with closing(DatagramSink(tmp_path / "log", journal_entry)) as sink:
        with pytest.raises(OSError, match="No such file"):
            sink.send([RECORD])
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
            listener.bind(str(tmp_path / "log"))
            sink.send([RECORD])
            assert listener.recv(65536)


@contextmanager
def collector(*answers):
    """An HTTP server that gives these answers, then 200 for ever; the requests it got."""
    script, got = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            status, answer = script.pop(0) if script else (200, b"{}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/logs", got
        finally:
            server.shutdown()
            thread.join()


def test_a_collector_gets_many_records_in_one_request():
    with collector() as (url, got), closing(open_sink(f"otlp:{url}", "node1")) as sink:
        sink.send([RECORD] * 3)
    ((path, kind, body),) = got
    assert (path, kind) == ("/v1/logs", "application/json")
    assert len(body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]) == 3


@pytest.mark.parametrize(
    ("status", "answer", "error", "refused"),
    [
        (503, b"", OSError, None),
        (429, b"", OSError, None),
        (400, b"no", SinkRefusedError, 2),
        (307, b"", SinkRefusedError, 2),
        (200, b'{"partialSuccess": {"rejectedLogRecords": "1"}}', SinkRefusedError, 1),
        (200, b'{"partialSuccess": {"rejectedLogRecords": 99}}', SinkRefusedError, 2),
    ],
)
def test_a_collector_may_ask_for_patience_or_refuse(status, answer, error, refused):
    with collector((status, answer)) as (url, _), closing(OtlpSink(url, "n")) as sink:
        with pytest.raises(error) as caught:
            sink.send([RECORD] * 2)
        if refused is not None:
            assert caught.value.records == refused


@pytest.mark.parametrize("answer", [b"", b"{}", b"not json", b"[]", b'{"partialSuccess": null}', b"x" * 100_000])
def test_whatever_else_a_collector_says_with_200_the_records_are_taken(answer):
    with collector((200, answer)) as (url, got), closing(OtlpSink(url, "n")) as sink:
        sink.send([RECORD])
        sink.send([RECORD])
    assert len(got) == 2


# --- the thread between ---


class Reluctant:
    """Takes nothing while it is closed to us."""

    def __init__(self, most=10) -> None:
        self.most = most
        self.is_open = True
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.got = []

    def send(self, records):
        self.may_go_on.wait(20)
        if not self.is_open:
            raise OSError("away")
        self.got += records

    def close(self):
        pass


def test_all_records_arrive_once_and_in_their_order():
    sink = Reluctant()
    thread = SinkThread("test", sink)
    for first in range(0, 1000, 7):
        thread.offer(list(range(first, min(1000, first + 7))))
    thread.close(20)
    assert sink.got == list(range(1000))
    assert (thread.sent, thread.lost, thread.error) == (1000, 0, "")


def test_a_sink_that_is_away_is_tried_again_and_what_finds_no_room_is_counted():
    sink = Reluctant()
    sink.is_open = False
    thread = SinkThread("test", sink, limit=5, retry_seconds=0.01)
    thread.offer([1, 2, 3])
    until(lambda: thread.error == "test: away")
    thread.offer([4, 5, 6, 7])
    assert thread.lost == 2
    sink.is_open = True
    until(lambda: thread.sent == 5)
    thread.close(20)
    assert sink.got == [1, 2, 3, 4, 5]
    assert thread.error == ""


def test_a_sink_that_hangs_keeps_nobody_waiting():
    sink = Reluctant()
    sink.may_go_on.clear()
    thread = SinkThread("test", sink, limit=100)
    began = time.monotonic()
    for _ in range(50):
        thread.offer([0] * 10)
    assert time.monotonic() - began < 5
    assert thread.lost == 400
    sink.may_go_on.set()
    thread.close(20)
    assert len(sink.got) == 100


def test_what_waits_for_a_sink_that_is_away_at_the_end_is_counted():
    sink = Reluctant()
    sink.is_open = False
    thread = SinkThread("test", sink, retry_seconds=60)
    thread.offer([1, 2])
    until(lambda: thread.error)
    thread.close(20)
    assert thread.lost == 2


def test_what_is_refused_is_counted_and_the_next_goes_on():
    class Choosy(Reluctant):
        def send(self, records):
            if records[0] == 1:
                raise SinkRefusedError(1, "no")
            super().send(records)

    sink = Choosy(most=1)
    thread = SinkThread("test", sink)
    thread.offer([1, 2])
    thread.close(20)
    assert (sink.got, thread.sent, thread.lost) == ([2], 1, 1)


def test_a_record_goes_to_every_sink_and_their_losses_are_added():
    buffer, away = BytesIO(), Reluctant()
    outlets = Outlets(None, (SinkThread("stdout", LineSink(buffer)), SinkThread("away", away, limit=1)))
    away.may_go_on.clear()
    outlets.write([RECORD, RECORD])
    until(lambda: buffer.getvalue().count(b"\n") == 2)
    assert json.loads(buffer.getvalue().splitlines()[0]) == RECORD
    away.may_go_on.set()
    outlets.close()
    assert outlets.counters == {"log_records_unwritten": 0, "log_sink_records": 3, "log_sink_records_lost": 1}


@pytest.mark.parametrize("text", ["file", "syslog:udp://host", "otlp:ftp://x", "stdout journald", "syslog:relative"])
def test_a_sink_that_nobody_knows_is_an_error_of_the_configuration(text):
    with pytest.raises(sources.ConfigError, match="logSinks"):
        sources.configure([sources.from_document("f", f"logSinks: ['{text}']")])


def test_sinks_are_read_as_they_are_written():
    names = ("stdout", "journald", "syslog", "syslog:/run/log", "syslog:udp://[::1]:514", "otlp:http://c:4318/v1/logs")
    given = sources.from_document("f", f"logSinks: {json.dumps(names)}")
    assert sources.configure([given]).settings.log_sinks == names
    for name in names:
        open_sink(name, "n").close()
