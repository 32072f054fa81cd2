"""The snapshot comes back from its file as it was, and what is no snapshot is refused in one way."""

import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.plan import make_plan
from dnsagent.snapshot import FORMAT, Mode, Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from dnsagent.snapshot_file import (
    SnapshotError,
    decode,
    encode,
    private_directory,
    read_snapshot,
    write_snapshot,
)
from tests.dnsagent.stage import rule, snapshot

addresses = st.ip_addresses()
seconds = st.floats(0, 1e6)
names = st.text(min_size=1, max_size=8)
rules = st.builds(
    SnapshotRule,
    id=names,
    patterns=st.lists(st.sampled_from(["a.test", "*.a.test", "*{1}.b.test", r"x\.y.test"]), unique=True).map(
        lambda each: tuple(sorted(each))
    ),
    set4=names,
    set6=names,
    ttl_floor_seconds=seconds,
    ttl_ceiling_seconds=seconds,
    extra_ttl_seconds=seconds,
    allow_private=st.booleans(),
    scope=st.sampled_from(["endpoint", "node"]),
)
endpoints = st.builds(
    SnapshotEndpoint,
    id=names,
    interface_name=names,
    addresses=st.lists(addresses, max_size=3).map(tuple),
    rules=st.lists(names, max_size=3).map(tuple),
)
snapshots = st.builds(
    Snapshot,
    generation=st.integers(0, 2**40),
    table=names,
    mode=st.sampled_from(Mode),
    trusted_servers=st.lists(st.builds(TrustedServer, address=addresses, port=st.integers(1, 65_535)), max_size=3).map(
        tuple
    ),
    endpoints=st.lists(endpoints, max_size=3).map(lambda each: {item.id: item for item in each}),
    rules=st.lists(rules, max_size=3).map(lambda each: {item.id: item for item in each}),
    guarded_networks=st.lists(addresses.map(ip_network), max_size=3).map(tuple),
    answer_queue=st.integers(0, 65_535),
    repeated_mark=st.integers(0, 2**32 - 1),
    is_strict=st.booleans(),
    max_elements=st.integers(0, 10**6),
    learn_delay_seconds=seconds,
    max_hold_seconds=seconds,
)


@given(snapshots)
def test_it_comes_back_as_it_was(snapshot):
    assert decode(encode(snapshot)) == snapshot
    assert encode(decode(encode(snapshot))) == encode(snapshot)
    make_plan(snapshot)


def test_files_are_replaced_whole(tmp_path):
    path = tmp_path / "snapshot.json"
    for generation in (1, 2):
        write_snapshot(path, snapshot(rule("r", "a.test"), generation=generation))
        assert read_snapshot(path).generation == generation
    assert [each.name for each in tmp_path.iterdir()] == ["snapshot.json"]


def test_another_format_is_named():
    document = json.loads(encode(snapshot())) | {"format": FORMAT + 1}
    with pytest.raises(SnapshotError, match=f"format {FORMAT + 1}"):
        decode(json.dumps(document))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '"x"', "[" * 100_000, '{"format": 1}', "{}" * 3],
)
def test_what_is_no_snapshot_is_refused(text):
    with pytest.raises(SnapshotError):
        decode(text)


@pytest.mark.parametrize("field", sorted(json.loads(encode(snapshot(rule("r", "a.test"))))))
@pytest.mark.parametrize("value", [None, [], "x", {"x": 1}, [["x"]]])
def test_fields_of_other_kinds_raise_nothing_else(field, value):
    document = json.loads(encode(snapshot(rule("r", "a.test")))) | {field: value}
    try:
        decode(json.dumps(document))
    except SnapshotError:
        return


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "snapshot.json"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(SnapshotError):
        read_snapshot(path)


def test_the_state_directory_is_its_owners_alone(tmp_path):
    private_directory(tmp_path / "a" / "b")
    private_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_plan_knows_addresses_rules_and_servers():
    plan = make_plan(snapshot(rule("b", "a.test"), rule("a", "*.test", scope="node")))
    assert [each.id for each in plan.rules] == ["a", "b"]
    first = plan.endpoints[ip_address("10.0.1.2").packed]
    assert first is plan.endpoints[ip_address("fd00:1::2").packed]
    assert first.rules == {0, 1}
    assert plan.rules[0].shared_by == ((ip_address("10.0.1.2").packed,), (ip_address("fd00:1::2").packed,))
    assert plan.rules[1].shared_by is None
    assert plan.servers == {(ip_address("10.0.53.53").packed, 53)}
