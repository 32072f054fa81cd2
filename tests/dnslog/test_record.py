"""Records of an interval: Calico Enterprise's fields and switches; every exchange is in a record or counted."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.answers import RecordSet
from policy.rules import EndpointID, PolicyID
from reconcile.instant import Instant, WallInstant
from tests.dnsagent.stage import packed
from tests.dnslog.test_exchange import asked, told
from tidegate.dnslog.exchange import Exchange
from tidegate.dnslog.log import DnsLog
from tidegate.dnslog.parties import Party
from tidegate.dnslog.record import Aggregation, Interval, Options
from tidegate.packetlog.files import RotatedFile

POLICY = PolicyID("names", "t", "NetworkPolicy")
START, END = WallInstant(1_700_000_000.0), WallInstant(1_700_000_300.0)
FIELDS = {
    "start_time", "end_time", "type", "count", "client_ip", "client_name", "client_name_aggr", "client_namespace",
    "client_labels", "qname", "qtype", "qclass", "rcode", "rrsets", "servers", "latency_count", "latency_mean",
    "latency_max",
}  # fmt: skip
"""Calico Enterprise's."""


class Two:
    """Two pods of one owner, and a server."""

    def client(self, address):
        number = address[-1]
        labels = {"app": "web", "pod": str(number)}
        return Party(f"10.0.1.{number}", "t", f"web-{number}", "web-*", labels, EndpointID(f"t/web-{number}"))

    def server(self, address, port):
        return Party("10.0.53.53", "", "", "pvt", {})

    def policies(self, endpoint, rules):
        return (POLICY,) if "names" in rules else ()


def exchange(client=2, qname="a.test", latency=0.002, **options):
    return Exchange(
        **{
            "at": Instant(1000.0), "latency_seconds": latency, "client": packed(f"10.0.1.{client}"),
            "server": packed("10.0.53.53"), "server_port": 53, "is_stream": False, "qname": qname, "qtype": "A",
            "qclass": "IN", "rcode": "NoError",
        } | options
    )  # fmt: skip


def records(*exchanges, **options):
    interval = Interval(Options(**options), START)
    for each in exchanges:
        interval.add(each, Two())
    return interval.end(END)[0]


def test_a_record_has_every_field():
    rrsets = (RecordSet("a.test", "IN", "A", ("198.51.100.1", "198.51.100.2")),)
    (found,) = records(exchange(rrsets=rrsets, rules=("names",)), aggregation=Aggregation.NONE)
    assert set(found) >= FIELDS
    assert (found["start_time"], found["end_time"]) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:18:20.000Z")
    assert (found["type"], found["count"], found["client_ip"], found["client_name"]) == ("LOG", 1, "10.0.1.2", "web-2")
    assert found["client_labels"] == {"app": "web", "pod": "2"}
    assert found["rrsets"] == [
        {"name": "a.test", "class": "IN", "type": "A", "rdata": ["198.51.100.1", "198.51.100.2"]}
    ]
    server = {"ip": "10.0.53.53", "name": "-", "name_aggr": "pvt", "namespace": "-", "labels": {}}
    assert found["servers"] == [server]
    assert (found["latency_count"], found["latency_mean"], found["latency_max"]) == (1, 2_000_000, 2_000_000)
    assert found["policies"] == [{"kind": "NetworkPolicy", "namespace": "t", "name": "names"}]


def test_by_default_clients_of_one_owner_are_added_up_with_the_labels_that_they_share():
    (found,) = records(exchange(2, latency=0.001), exchange(3, latency=0.003))
    assert (found["count"], found["client_ip"], found["client_name"]) == (2, None, "-")
    assert (found["client_name_aggr"], found["client_namespace"]) == ("web-*", "t")
    assert found["client_labels"] == {"app": "web"}
    assert (found["latency_count"], found["latency_mean"], found["latency_max"]) == (2, 2_000_000, 3_000_000)


def test_without_aggregation_each_client_has_its_record():
    found = records(exchange(2), exchange(3), exchange(3), aggregation=Aggregation.NONE)
    assert {item["client_ip"]: item["count"] for item in found} == {"10.0.1.2": 1, "10.0.1.3": 2}


def test_labels_and_latency_can_be_left_out():
    (found,) = records(exchange(), has_labels=False, has_latency=False)
    assert "client_labels" not in found
    assert "labels" not in found["servers"][0]
    assert (found["latency_count"], found["latency_mean"], found["latency_max"]) == (0, 0, 0)


def test_what_was_not_answered_has_no_code_and_no_time():
    (found,) = records(exchange(rcode=None, latency=None))
    assert (found["rcode"], found["latency_count"]) == (None, 0)


def test_beyond_the_limit_exchanges_are_counted_and_those_that_fit_a_record_are_in_it():
    found = records(*(exchange(qname=f"{number}.test") for number in range(100)), exchange(qname="0.test"), limit=10)
    assert Counter(item["type"] for item in found) == {"LOG": 10, "UNLOGGED": 1}
    assert found[-1] == {
        "start_time": "2023-11-14T22:13:20.000Z", "end_time": "2023-11-14T22:18:20.000Z", "type": "UNLOGGED",
        "count": 90,
    }  # fmt: skip
    assert found[0]["count"] == 2


def test_an_interval_begins_where_the_last_one_ended_and_empty():
    interval = Interval(Options(limit=1), START)
    for name in ("a.test", "b.test"):
        interval.add(exchange(qname=name), Two())
    assert interval.end(END)[1] == 1
    assert interval.end(END) == ([], 0)
    interval.add(exchange(), Two())
    (found,), unlogged = interval.end(WallInstant(END + 1))
    assert (found["start_time"], unlogged) == ("2023-11-14T22:18:20.000Z", 0)


@given(
    st.lists(st.tuples(st.integers(2, 4), st.sampled_from("abcdefgh"), st.sampled_from(("NoError", "NXDomain", None)))),
    st.sampled_from(Aggregation),
    st.integers(0, 5),
)
def test_every_exchange_is_counted_once(facts, aggregation, limit):
    found = records(
        *(exchange(client, f"{name}.test", rcode=rcode) for client, name, rcode in facts),
        aggregation=aggregation,
        limit=limit,
    )
    assert sum(item["count"] for item in found) == len(facts)
    logs = [item for item in found if item["type"] == "LOG"]
    assert len(logs) <= (limit or len(facts))
    keys = [(item["client_name"], item["client_name_aggr"], item["qname"], item["rcode"]) for item in logs]
    assert len(keys) == len(set(keys))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def log(tmp_path, **options):
    return DnsLog(Options(**options), RotatedFile(tmp_path / "dns.log", 4_000, 3), START)


def test_the_log_writes_records_at_the_end_of_an_interval_and_shows_exchanges_at_once(tmp_path):
    found = log(tmp_path)
    found.take([asked(), told()], Two(), Instant(1001.0), START)
    (shown,) = found.book.page(0)["records"]
    assert (shown["qname"], shown["client_name"], shown["endpoint"]) == ("a.test", "web-2", "t/web-2")
    assert shown["end_time"] == "2023-11-14T22:13:19.500Z", "when it was answered, not when it was fetched"
    assert not (tmp_path / "dns.log").exists()
    found.flush(END)
    (written,) = lines(tmp_path / "dns.log")
    assert (written["qname"], written["client_name"]) == ("a.test", "-")
    found.close(END)


def test_no_record_is_cut_by_rotation_and_the_oldest_file_goes(tmp_path):
    found = log(tmp_path)
    for number in range(60):
        found.take([asked(f"{number}.test"), told(f"{number}.test")], Two(), Instant(1001.0), START)
        found.flush(END)
    found.close(END)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["dns.log", "dns.log.1", "dns.log.2"]
    names = [item["qname"] for path in reversed(files) for item in lines(path)]
    assert names == [f"{number}.test" for number in range(60 - len(names), 60)]
    assert all(path.stat().st_size <= 4_000 for path in files)


def test_what_waits_is_written_when_it_ends(tmp_path):
    found = log(tmp_path)
    found.take([asked(), told()], Two(), Instant(1001.0), START)
    found.close(END)
    assert len(lines(tmp_path / "dns.log")) == 1


def test_records_that_cannot_be_written_are_counted_and_said(tmp_path):
    (tmp_path / "dns.log").mkdir()
    found = log(tmp_path)
    found.take([asked(), told()], Two(), Instant(1001.0), START)
    found.flush(END)
    assert found.unwritten == 1
    assert "cannot write" in found.error
    (tmp_path / "dns.log").rmdir()
    found.take([asked(), told()], Two(), Instant(1001.0), START)
    found.close(END)
    assert found.error == ""


def test_without_a_file_nothing_is_added_up():
    found = DnsLog(Options(), None, START)
    found.take([asked(), told()], Two(), Instant(1001.0), START)
    found.close(END)
    assert (found.exchanges, found.records) == (1, 0)


@pytest.mark.parametrize("seconds", [12.0, 500.0])
def test_a_question_without_an_answer_is_logged(tmp_path, seconds):
    found = log(tmp_path)
    found.take([asked()], Two(), Instant(1001.0), START)
    assert found.exchanges == 0
    found.take([], Two(), Instant(1000.0 + seconds), END)
    found.close(END)
    assert lines(tmp_path / "dns.log")[0]["rcode"] is None
