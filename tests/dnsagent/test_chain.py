"""Which addresses a question leads to, whatever the order of the records."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.chain import MAX_HOPS, Trouble, resolve
from dnsagent.codec import decode_answer
from tests.dnsagent.stage import (
    AAAA,
    CNAME,
    DNAME,
    HTTPS,
    POINTER,
    A,
    answer,
    key,
    packed,
    record,
    service,
)


def found(*records: bytes, name: str = "a.test"):
    """(names on the way, ttl, address) and the troubles."""
    resolved, troubles, _ = resolve(decode_answer(answer(name, *records)))
    return [(list(way), ttl, address) for way, ttl, address in resolved], troubles


def chain_of(hops: int) -> list[bytes]:
    names = ["a.test", *(f"c{number}.test" for number in range(1, hops + 1))]
    records = [record(owner, CNAME, 60, target) for owner, target in pairwise(names)]
    return [*records, record(names[-1], A, 60, "192.0.2.1")]


def test_addresses_of_the_name_itself():
    resolved, troubles = found(record(POINTER, A, 60, "192.0.2.1"), record("A.Test", AAAA, 30, "2001:db8::1"))
    assert resolved == [([key("a.test")], 60, packed("192.0.2.1")), ([key("a.test")], 30, packed("2001:db8::1"))]
    assert troubles == []


def test_records_of_one_owner_share_the_names_on_the_way():
    """Compiled as well: a tuple for each record costs memory, and a look at all rules for each address."""
    records = [record(owner, A, 60, f"192.0.2.{number}") for owner in ("a.test", "b.test") for number in (1, 2)]
    for alias in ([], [record("a.test", CNAME, 60, "b.test")]):
        resolved, _, _ = resolve(decode_answer(answer("a.test", *alias, *records)))
        assert len({id(way) for way, _, _ in resolved}) == len({way for way, _, _ in resolved}) == 1 + len(alias)


@given(st.permutations(chain_of(5)))
def test_the_order_of_the_records_is_indifferent(records):
    ((way, ttl, address),), troubles = found(*records)
    assert way == [key("a.test"), *(key(f"c{number}.test") for number in range(1, 6))]
    assert (ttl, address, troubles) == (60, packed("192.0.2.1"), [])


def test_the_least_ttl_of_the_way_counts():
    resolved, _ = found(
        record("a.test", CNAME, 300, "b.test"),
        record("b.test", CNAME, 20, "c.test"),
        record("c.test", A, 100, "192.0.2.3"),
        record("b.test", A, 200, "192.0.2.2"),
        record("a.test", A, 400, "192.0.2.1"),
    )
    assert [ttl for _, ttl, _ in resolved] == [20, 200, 400]


def test_a_ttl_with_the_top_bit_anywhere_on_the_way_is_zero():
    resolved, _ = found(record("a.test", CNAME, 60, "b.test"), record("b.test", A, 2**31 + 60, "192.0.2.1"))
    assert resolved[0][1] == 0


@pytest.mark.parametrize("hops", [1, MAX_HOPS - 1, MAX_HOPS])
def test_sixteen_hops_are_followed(hops):
    resolved, troubles = found(*chain_of(hops))
    assert len(resolved[0][0]) == hops + 1
    assert troubles == []


def test_seventeen_hops_are_too_many():
    assert found(*chain_of(MAX_HOPS + 1)) == ([], [Trouble.TOO_LONG])


@pytest.mark.parametrize(
    "aliases",
    [
        [("a.test", "a.test")],
        [("a.test", "b.test"), ("b.test", "a.test")],
        [("a.test", "b.test"), ("b.test", "b.test")],
    ],
)
def test_a_loop_leads_nowhere(aliases):
    records = [record(owner, CNAME, 60, target) for owner, target in aliases]
    assert found(*records, record("a.test", A, 60, "192.0.2.1")) == ([], [Trouble.LOOP])


def test_records_of_other_names_are_refused_one_by_one():
    stray = [record("v.test", A, 60, "192.0.2.8"), record("w.test", A, 60, "192.0.2.9")]
    resolved, troubles = found(record("a.test", A, 60, "192.0.2.1"), *stray)
    assert (len(resolved), troubles) == (1, [Trouble.OUT_OF_CHAIN] * 2)
    resolved, troubles = found(*chain_of(2), *stray, record("test", A, 60, "192.0.2.7"))
    assert (len(resolved), troubles) == (1, [Trouble.OUT_OF_CHAIN] * 3)


def test_a_chain_to_somebody_elses_name_does_not_run_backwards():
    assert found(record("v.test", CNAME, 60, "a.test"), record("v.test", A, 60, "192.0.2.8")) == (
        [],
        [Trouble.OUT_OF_CHAIN],
    )


def test_of_two_aliases_of_a_name_the_first_counts():
    resolved, troubles = found(
        record("a.test", CNAME, 60, "b.test"),
        record("a.test", CNAME, 60, "evil.test"),
        record("b.test", A, 60, "192.0.2.1"),
        record("evil.test", A, 60, "192.0.2.66"),
    )
    assert [address for _, _, address in resolved] == [packed("192.0.2.1")]
    assert troubles == [Trouble.OUT_OF_CHAIN]


def test_dname_with_and_without_its_synthesised_alias():
    dname, address = record("d.test", DNAME, 30, "e.test"), record("x.y.e.test", A, 60, "192.0.2.1")
    expected = [([key("x.y.d.test"), key("x.y.e.test")], 30, packed("192.0.2.1"))]
    assert found(dname, address, name="x.y.d.test") == (expected, [])
    alias = record("x.y.d.test", CNAME, 30, "x.y.e.test")
    assert found(dname, alias, address, name="x.y.d.test") == (expected, [])


def test_dname_does_not_rename_its_owner_nor_parts_of_labels():
    address = record("e.test", A, 60, "192.0.2.1")
    assert found(record("d.test", DNAME, 30, "e.test"), address, name="d.test")[0] == []
    # Behind the length byte of one label stand the bytes of `d.test`, and they are no name of their own.
    name = "x\1d\4test"
    renamed = record("x\1e\4test", A, 60, "192.0.2.1")
    assert found(record("d.test", DNAME, 30, "e.test"), renamed, name=name) == ([], [Trouble.OUT_OF_CHAIN])


def test_the_nearest_dname_counts_and_the_root_has_one_too():
    resolved, _ = found(
        record("test", DNAME, 30, "far"),
        record("d.test", DNAME, 40, "near"),
        record("x.near", A, 60, "192.0.2.1"),
        name="x.d.test",
    )
    assert [ttl for _, ttl, _ in resolved] == [40]
    # The root's stands above its own target too: that way has no end.
    assert found(record("", DNAME, 30, "new"), record("x.new", A, 60, "192.0.2.1"), name="x")[1] == [Trouble.TOO_LONG]


def test_a_dname_that_makes_a_name_too_long_leads_nowhere():
    long = ".".join(["b" * 60] * 3)
    records = [record("d.test", DNAME, 30, f"{long}.d.test"), record(f"x.{long}.d.test", A, 60, "192.0.2.1")]
    resolved, troubles = found(*records, name="x.d.test")
    assert (len(resolved), troubles) == (1, [])
    resolved, troubles = found(*records[:1], record("x.d.test", A, 60, "192.0.2.2"), name="x.d.test")
    assert [address for _, _, address in resolved] == [packed("192.0.2.2")]


def test_https_alias_mode_is_an_alias_and_hints_are_addresses():
    resolved, troubles = found(
        record("a.test", HTTPS, 60, service(0, "svc.test")),
        record("svc.test", HTTPS, 30, service(1, "", (4, packed("192.0.2.4")), (6, packed("2001:db8::4")))),
        record("svc.test", A, 20, "192.0.2.1"),
    )
    assert [(ttl, address) for _, ttl, address in resolved] == [
        (20, packed("192.0.2.1")),
        (30, packed("192.0.2.4")),
        (30, packed("2001:db8::4")),
    ]
    assert all(way == [key("a.test"), key("svc.test")] for way, _, _ in resolved)
    assert troubles == []


def test_hints_of_other_names_are_refused():
    hint = record("v.test", HTTPS, 30, service(1, "", (4, packed("192.0.2.4"))))
    assert found(hint) == ([], [Trouble.OUT_OF_CHAIN])
