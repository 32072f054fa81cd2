"""What is written is found again by every filter, within the bounds of age and size."""

import sqlite3
from dataclasses import replace
from random import Random

import pytest

from reconcile.instant import WallInstant
from tidegate.flows.question import FlowQuestionError, read_question
from tidegate.flows.record import FlowParty, FlowRecord, Level, PartyKind, Reporter, Trace
from tidegate.flows.store import FlowStore, Retention, StoreError, ask
from tidegate.flows.table import NO_LOSS, Loss

NOW = 1_800_000_000.0
KEEP = Retention(seconds=1e9, max_bytes=1 << 30)


def party(name, namespace="shop", address="10.0.0.1"):
    return FlowParty(PartyKind.WORKLOAD, namespace, name, f"{name.rstrip('0123456789')}*", address)


def record(at=NOW, **fields):
    basic = FlowRecord(
        started_at=WallInstant(at - 1),
        ended_at=WallInstant(at),
        reporter=Reporter.SOURCE,
        is_allowed=True,
        protocol=6,
        source=party("web1"),
        destination=party("db1", "data", "10.0.0.2"),
        destination_port=5432,
        domains=("db.test",),
        packets_in=1,
        bytes_in=100,
        packets_out=2,
        bytes_out=200,
        flows=1,
        started=1,
        completed=1,
        trace=Trace(enforced=("0|default|np:shop/p|allow|0",), enforced_hits=({"name": "p"},), agrees=True),
    )
    return replace(basic, **fields)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flows.sqlite"


def filled(path, *windows, retention=KEEP):
    with FlowStore(path, retention) as store:
        for at, records, loss in windows:
            store.append(records, loss, WallInstant(at - 1), WallInstant(at))


def asked(path, **given):
    return ask(path, read_question({name: str(value) for name, value in given.items()}))


def test_a_record_comes_back_as_it_was_written(path):
    made = record(service="data/db:5432", source_port=40000)
    filled(path, (NOW, [made], NO_LOSS))
    assert asked(path) == [made.document(1)]


def test_nothing_was_written_yet(path):
    assert asked(path) == []


def test_losses_stand_in_the_stream_and_numbers_only_rise(path):
    filled(path, (NOW, [record(), record()], Loss(overruns=1, copies=2)), (NOW + 1, [record(NOW + 1)], NO_LOSS))
    filled(path, (NOW + 2, [record(NOW + 2)], Loss(windows=1)))
    found = asked(path)
    assert [(item["id"], item["type"]) for item in found] == [
        (1, "flow"), (2, "flow"), (3, "loss"), (4, "flow"), (5, "flow"), (6, "loss"),
    ]  # fmt: skip
    assert (found[2]["event_overruns"], found[2]["denied_packets_lost"]) == (1, 2)
    assert [item["id"] for item in asked(path, after=2)] == [3, 4, 5, 6]
    assert [item["id"] for item in asked(path, after=2, limit=1)] == [3, 4]
    assert [item["id"] for item in asked(path, after=4, limit=1)] == [5]
    assert [item["id"] for item in asked(path, after=5, limit=1)] == [6]


def random_record(chance, at):
    return record(
        at,
        reporter=chance.choice(list(Reporter)),
        is_allowed=chance.random() < 0.7,
        protocol=chance.choice([6, 17, 1]),
        source=party(chance.choice(["web1", "web2", "db1"]), chance.choice(["shop", "data"]), chance.choice(["10.0.0.1", "fd00::1"])),
        destination=party(chance.choice(["db1", "db2"]), chance.choice(["data", ""]), chance.choice(["10.0.0.2", "10.0.0.1"])),
        destination_port=chance.choice([80, 443, None]),
        domains=chance.choice([(), ("a.test", "b.test")]),
        trace=chance.choice([Trace(), Trace(enforced=("0|t|gnp:p1|deny|0",), pending=("0|t|sgnp:p2|allow|1",), agrees=False)]),
    )  # fmt: skip


def holds(item, given):
    ends = {"source": item["source"], "destination": item["dest"]}

    def is_named(end, named):
        namespace, _, name = named.rpartition("/")
        whole = {"shop/web1": ("shop", "web1"), "data/": ("data", None), "db1": (None, "db1")}.get(named)
        if whole is None:
            return end["ip"] == named
        assert (namespace or None, name or None) == whole
        return (whole[0] in (None, end["namespace"])) and (whole[1] in (None, end["name"]))

    checks = {
        "party": lambda v: any(is_named(end, v) for end in ends.values()),
        "source": lambda v: is_named(ends["source"], v),
        "destination": lambda v: is_named(ends["destination"], v),
        "action": lambda v: item["action"] == v,
        "reporter": lambda v: item["reporter"] == v,
        "protocol": lambda v: item["proto"] == v,
        "port": lambda v: item["dest"]["port"] == v,
        "policy": lambda v: any(v in text for text in item["policies"]["enforced"] + item["policies"]["pending"]),
        "domain": lambda v: any(v in name for name in item["dest_domains"]),
        "since": lambda v: item["end_time"] >= v,
        "until": lambda v: item["end_time"] <= v,
    }
    return all(checks[name](value) for name, value in given.items())


CHOICES = {
    "party": ["shop/web1", "data/", "db1", "10.0.0.1", "fd00::1"],
    "source": ["shop/web1", "data/", "db1", "10.0.0.1"],
    "destination": ["shop/web1", "data/", "db1", "10.0.0.1"],
    "action": ["allow", "deny"],
    "reporter": ["src", "dst", "fwd"],
    "protocol": ["tcp", "udp", "icmp"],
    "port": [80, 443],
    "policy": ["p1", "p2", "none"],
    "domain": ["a.test", "x.test"],
    "since": ["2027-01-15T08:00:03.000Z", "2027-01-15T08:00:50.000Z", "2030-01-15T08:00:50.000Z"],
    "until": ["2027-01-15T08:00:10.000Z"],
}


@pytest.mark.parametrize("seed", range(15))
def test_every_filter_finds_what_a_naive_search_finds(path, seed):
    chance = Random(seed)
    filled(path, *((NOW + at, [random_record(chance, NOW + at) for _ in range(20)], NO_LOSS) for at in range(15)))
    everything = asked(path)
    assert len(everything) == 300
    for _ in range(30):
        given = {name: chance.choice(CHOICES[name]) for name in chance.sample(list(CHOICES), chance.randrange(1, 4))}
        assert asked(path, **given) == [item for item in everything if holds(item, given)]


def test_the_newest_come_first_into_a_limit_and_the_oldest_behind_a_number(path):
    filled(path, *((NOW + at, [record(NOW + at)], NO_LOSS) for at in range(10)))
    assert [item["id"] for item in asked(path, limit=3)] == [8, 9, 10]
    assert [item["id"] for item in asked(path, after=2, limit=3)] == [3, 4, 5]


@pytest.mark.parametrize("level", list(Level))
def test_levels_add_up_all_and_leave_out_what_they_say(path, level):
    records = [
        record(
            source=party(f"web{n % 2}", address=f"10.0.1.{n % 2}"), source_port=n, destination_port=80 + n % 2, flows=n
        )
        for n in range(12)
    ]
    filled(path, (NOW, records, NO_LOSS))
    found = asked(path, level=int(level))
    assert len(found) == {Level.NONE: 12, Level.SOURCE_PORT: 2, Level.PREFIX: 2, Level.DESTINATION_PORT: 1}[level]
    assert sum(item["num_flows"] for item in found) == sum(range(12))
    assert sum(item["bytes_in"] for item in found) == 1200
    if level >= Level.PREFIX:
        assert {(item["source"]["name"], item["source"]["ip"]) for item in found} == {("web*", "")}
    if level >= Level.DESTINATION_PORT:
        assert found[0]["dest"]["port"] is None


def test_old_records_go(path):
    with FlowStore(path, Retention(seconds=100, max_bytes=1 << 30)) as store:
        for at in (NOW, NOW + 50, NOW + 120):
            store.append([record(at)], Loss(windows=1), WallInstant(at), WallInstant(at))
        assert store.retain(WallInstant(NOW + 120)) == 1
    assert [item["id"] for item in asked(path)] == [3, 4, 5, 6]


def test_a_full_file_loses_its_oldest_records_and_does_not_grow(path):
    bound = 1 << 20
    with FlowStore(path, Retention(seconds=1e9, max_bytes=bound)) as store:
        sizes = []
        for at in range(30):
            window = [record(NOW + at, source=party(f"web{at}-{n}")) for n in range(1000)]
            store.append(window, NO_LOSS, WallInstant(NOW + at), WallInstant(NOW + at))
            store.retain(WallInstant(NOW + at))
            assert store.used_bytes() <= bound
            sizes.append(path.stat().st_size)
    assert max(sizes) <= 2 * bound
    found = asked(path, limit=10_000)
    assert len(found) > 1000
    assert [item["id"] for item in found] == list(range(30_001 - len(found), 30_001))


def test_traces_stand_once_and_go_with_their_records(path):
    with FlowStore(path, Retention(seconds=10, max_bytes=1 << 30)) as store:
        store.append([record()] * 500, NO_LOSS, WallInstant(NOW), WallInstant(NOW))
        with sqlite3.connect(path) as db:
            assert db.execute("SELECT count(*) FROM traces").fetchone() == (1,)
        db.close()
        store.retain(WallInstant(NOW + 11))
        store.append([record(NOW + 11)], NO_LOSS, WallInstant(NOW + 11), WallInstant(NOW + 11))
    assert asked(path)[0]["policies"]["enforced"] == ["0|default|np:shop/p|allow|0"]


def test_numbers_go_on_after_all_records_grew_old(path):
    filled(path, (NOW, [record(), record()], NO_LOSS))
    with FlowStore(path, Retention(seconds=10, max_bytes=1 << 30)) as store:
        store.retain(WallInstant(NOW + 11))
    filled(path, (NOW + 11, [record(NOW + 11)], NO_LOSS))
    assert [item["id"] for item in asked(path)] == [2, 3]


def test_a_file_that_is_none_is_put_aside(path):
    path.write_bytes(b"this is no database " * 100)
    filled(path, (NOW, [record()], NO_LOSS))
    assert len(asked(path)) == 1
    assert path.with_name("flows.sqlite.unreadable").read_bytes().startswith(b"this is no")


def test_a_file_of_another_version_is_put_aside(path):
    filled(path, (NOW, [record()], NO_LOSS))
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    filled(path, (NOW, [record(), record()], NO_LOSS))
    assert len(asked(path)) == 2


def test_the_file_is_its_owners_alone(path):
    filled(path, (NOW, [record()], NO_LOSS))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot use the store of flows"):
        FlowStore(tmp_path / "file" / "flows.sqlite", KEEP)


@pytest.mark.parametrize(
    "given", [{"after": "-1"}, {"port": "70000"}, {"level": "4"}, {"colour": "red"}, {"limit": "x"}, {"until": "later"},
              {"port": "٣"}, {"after": "9" * 30}],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(given):
    with pytest.raises(FlowQuestionError, match="cannot"):
        read_question(given)
