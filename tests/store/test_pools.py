"""Pools that overlap: one counts, the other is refused, and both are named."""

import pytest

from policy.resources.metadata import ResourceKey
from tidegate.store.entries import read_entries
from tidegate.store.examination import Examination, sources
from tidegate.store.last_valid import LastValid, ProblemKind

POOL = """---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {{name: {name}}}
spec: {{cidr: "{cidr}"}}
"""


def pools(**cidrs):
    return "".join(POOL.format(name=name, cidr=cidr) for name, cidr in cidrs.items())


def take(meaning, **files):
    return meaning.take({name: text and read_entries(name, text.encode()) for name, text in files.items()})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.0/16", "10.0.0.0/16"),
        ("10.0.0.0/16", "10.0.4.0/24"),
        ("10.0.4.0/24", "10.0.0.0/16"),
        ("fd00::/48", "fd00:0:0:7::/64"),
        ("fd00:0:0:7::/64", "fd00::/48"),
    ],
)
def test_the_later_of_two_pools_that_overlap_is_refused_and_both_are_named(one, other):
    changes = take(LastValid(), a=pools(first=one), b=pools(second=other))
    assert [update.key.name for update in changes.updates] == ["first"]
    [problem] = changes.problems
    assert (problem.kind, problem.file, problem.path) == (ProblemKind.INVALID, "b", "spec.cidr")
    assert "IPPool first" in problem.message
    assert "IPPool second" in problem.message
    assert one in problem.message
    assert other in problem.message


def test_pools_beside_each_other_and_of_two_families_are_no_trouble():
    changes = take(LastValid(), a=pools(a="10.0.0.0/24", b="10.0.1.0/24", c="fd00::/64", d="fd00:0:0:1::/64"))
    assert (len(changes.updates), changes.problems) == (4, ())


def test_a_pool_is_no_overlap_of_itself_when_it_changes():
    meaning = LastValid()
    take(meaning, a=pools(x="10.0.0.0/16"))
    changes = take(meaning, a=pools(x="10.0.0.0/17"))
    assert ([update.key for update in changes.updates], changes.problems) == ([ResourceKey("IPPool", "", "x")], ())


def test_a_refused_pool_counts_as_soon_as_the_other_is_gone():
    meaning = LastValid()
    take(meaning, a=pools(x="10.0.0.0/16"), b=pools(y="10.0.0.0/16"))
    changes = take(meaning, a=None)
    assert {update.key.name: update.resource is not None for update in changes.updates} == {"x": False, "y": True}
    assert changes.problems == ()


def test_a_name_that_stands_twice_is_told_as_that_and_not_as_an_overlap():
    [problem] = take(LastValid(), a=pools(x="10.0.0.0/16"), b=pools(x="10.0.0.0/16")).problems
    assert problem.path == "metadata.name"


def test_validation_refuses_what_would_be_refused_in_force(tmp_path):
    (tmp_path / "a.yaml").write_text(pools(x="10.0.0.0/16", z="10.1.0.0/16"))
    (tmp_path / "b.yaml").write_text(pools(y="10.0.9.0/24"))
    examination = Examination()
    found = [finding for source in sources([tmp_path]) for finding in examination.examine(source)]
    assert [(finding.entry.identity.name, [fault.path for fault in finding.faults]) for finding in found] == [
        ("x", []),
        ("z", []),
        ("y", ["spec.cidr"]),
    ]
    assert "10.0.0.0/16 of IPPool x" in found[-1].faults[0].message
