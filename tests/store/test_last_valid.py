"""What a directory means when documents become invalid, valid, twofold or absent."""

from hypothesis import given
from hypothesis import strategies as st

from policy.resources.metadata import ResourceKey
from tidegate.store.entries import read_entries
from tidegate.store.last_valid import LastValid, ProblemKind

TIER = """---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {{name: {name}}}
spec: {{order: {order}}}
"""


def tiers(**orders) -> str:
    return "".join(TIER.format(name=name, order=order) for name, order in orders.items())


class Directory:
    """Writes files, and keeps what is in force by the updates alone."""

    def __init__(self):
        self.meaning = LastValid()
        self.in_force = {}
        self.problems = ()

    def write(self, **files):
        changed = {f"{name}.yaml": text and read_entries(f"{name}.yaml", text.encode()) for name, text in files.items()}
        changes = self.meaning.take(changed)
        for update in changes.updates:
            if update.resource is None:
                del self.in_force[update.key.name]
            else:
                assert update.resource.key == update.key
                self.in_force[update.key.name] = update.resource.spec.order
        self.problems = changes.problems
        return {update.key.name: update.resource and update.resource.spec.order for update in changes.updates}

    def told(self):
        return [(problem.kind.value, problem.subject, problem.path) for problem in self.problems]


def test_valid_documents_are_in_force_and_only_changes_are_told():
    directory = Directory()
    assert directory.write(a=tiers(x=1, y=2), b=tiers(z=3)) == {"x": 1, "y": 2, "z": 3}
    assert directory.write(a=tiers(x=1, y=5)) == {"y": 5}
    assert directory.write(a=tiers(x=1, y=5)) == {}
    assert directory.write(a=tiers(y=5)) == {"x": None}
    assert directory.write(b=None) == {"z": None}
    assert directory.in_force == {"y": 5}
    assert directory.problems == ()


def test_a_document_that_was_never_valid_has_no_effect_and_leaves_the_rest_in_force():
    directory = Directory()
    directory.write(a=tiers(x="nope", y=2) + "---\n{", b="kind: [")
    assert directory.in_force == {"y": 2}
    assert directory.told() == [
        ("InvalidResource", "a.yaml#0", "spec.order"),
        ("InvalidResource", "a.yaml#2", ""),
        ("InvalidResource", "b.yaml#0", ""),
    ]
    assert directory.problems[0].line == 5
    assert "Tier x: must be a number" in directory.problems[0].message


def test_a_document_that_becomes_invalid_keeps_its_last_valid_meaning():
    directory = Directory()
    directory.write(a=tiers(x=1, y=2))
    assert directory.write(a=tiers(x="nope", y=3)) == {"y": 3}
    assert directory.in_force == {"x": 1, "y": 3}
    (problem,) = directory.problems
    assert (problem.kind, problem.subject, problem.path) == (ProblemKind.STALE, "a.yaml#0", "spec.order")
    assert "still in force as last valid: Tier x" in problem.message
    assert directory.write(a=tiers(x="worse", y=3)) == {}
    assert directory.in_force["x"] == 1
    assert directory.write(a=tiers(x=9, y=3)) == {"x": 9}
    assert directory.problems == ()


def test_it_is_absent_after_a_restart():
    directory = Directory()
    directory.write(a=tiers(x="nope"))
    assert directory.in_force == {}
    assert directory.told() == [("InvalidResource", "a.yaml#0", "spec.order")]


def test_a_file_that_cannot_be_parsed_keeps_everything_that_stood_in_it():
    directory = Directory()
    directory.write(a=tiers(x=1, y=2), b=tiers(z=3))
    directory.write(a=tiers(x=7) + "---\nkind: [\n", b=tiers(w=4))
    assert directory.in_force == {"x": 7, "y": 2, "w": 4}
    (problem,) = directory.problems
    assert problem.kind is ProblemKind.STALE
    assert "Tier y)" in problem.message


def test_a_name_with_a_slip_keeps_what_had_the_right_name():
    directory = Directory()
    directory.write(a=tiers(x=1))
    directory.write(a=tiers(X_=1))
    assert directory.in_force == {"x": 1}
    assert directory.told() == [("StaleResource", "a.yaml#0", "metadata.name")]


def test_a_new_invalid_document_does_not_keep_what_was_taken_out():
    directory = Directory()
    directory.write(a=tiers(x=1))
    directory.write(a=tiers(other="nope"))
    assert directory.in_force == {}
    assert directory.told() == [("InvalidResource", "a.yaml#0", "spec.order")]


def test_removing_a_stale_file_removes_its_meaning():
    directory = Directory()
    directory.write(a=tiers(x=1))
    directory.write(a="{")
    assert directory.in_force == {"x": 1}
    assert directory.write(a=None) == {"x": None}
    assert directory.problems == ()


def test_a_document_may_move_to_another_file_and_break_there():
    directory = Directory()
    directory.write(a=tiers(x=1))
    directory.write(a=None, b=tiers(x="nope"))
    assert directory.in_force == {"x": 1}
    assert directory.told() == [("StaleResource", "b.yaml#0", "spec.order")]


def test_of_two_documents_about_one_resource_the_first_place_counts_and_both_are_named():
    directory = Directory()
    directory.write(b=tiers(x=2))
    assert directory.write(a=tiers(x=1, y=3)) == {"x": 1, "y": 3}
    (problem,) = directory.problems
    assert (problem.kind, problem.subject, problem.path) == (ProblemKind.INVALID, "b.yaml#0", "metadata.name")
    assert problem.message == "cannot define Tier x again: a.yaml, line 2, already does, and counts"
    assert directory.write(a=None) == {"x": 2, "y": None}
    assert directory.problems == ()


def test_two_kinds_may_share_a_name():
    directory = Directory()
    text = "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: x}}\n"
    changes = directory.meaning.take(
        {
            "a": read_entries(
                "a", ("---\n".join(text.format(kind=kind) for kind in ("NetworkSet", "GlobalNetworkSet"))).encode()
            )
        }
    )
    assert [update.key for update in changes.updates] == [
        ResourceKey("GlobalNetworkSet", "", "x"),
        ResourceKey("NetworkSet", "default", "x"),
    ]
    assert not changes.problems


def test_items_of_lists_are_resources_of_their_own():
    item = (
        "  - apiVersion: projectcalico.org/v3\n    kind: Tier\n    metadata: {{name: {}}}\n    spec:\n      order: {}\n"
    )
    text = "apiVersion: v1\nkind: List\nitems:\n" + item.format("x", 1) + item.format("y", "nope") + item.format("z", 3)
    entries = read_entries("a.yaml", text.encode())
    assert [(entry.index, entry.line, entry.identity.name, bool(entry.faults)) for entry in entries] == [
        (0, 4, "x", False),
        (1, 9, "y", True),
        (2, 14, "z", False),
    ]
    assert entries[1].faults[0].path == "spec.order"
    assert entries[1].fault_lines == (13,)


def test_typed_lists_and_empty_lists():
    typed = "apiVersion: projectcalico.org/v3\nkind: TierList\nitems: [{metadata: {name: x}}]\n"
    (entry,) = read_entries("a.yaml", typed.encode())
    assert entry.resource.key == ResourceKey("Tier", "", "x")
    assert read_entries("a.yaml", b"{apiVersion: v1, kind: List, items: []}") == ()
    assert read_entries("a.yaml", b"{apiVersion: v1, kind: List}") == ()
    (wrong,) = read_entries("a.yaml", b"{apiVersion: v1, kind: List, items: 5}")
    assert wrong.faults


ADMIN = """---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {{name: admin}}
spec:
  tier: Admin
  priority: {priority}
  subject: {{namespaces: {{}}}}
  ingress: [{{action: Deny, from: [{{{peer}}}]}}]
"""
GOOD, UNKNOWN = "namespaces: {}", "clusters: {}"


def admin(peer, priority=1):
    return ADMIN.format(peer=peer, priority=priority)


def rules_in_force(meaning, changed):
    entries = {name: text and read_entries(name, text.encode()) for name, text in changed.items()}
    return [update.resource and update.resource.spec.ingress for update in meaning.take(entries).updates]


def test_an_administrators_policy_that_was_never_valid_is_in_force_with_its_bad_rules_closed():
    meaning = LastValid()
    [[closed]] = rules_in_force(meaning, {"a.yaml": admin(UNKNOWN)})
    assert (closed.action, closed.source.namespace_selector) == ("Deny", "")
    assert [problem.kind for problem in meaning.problems] == [ProblemKind.INVALID, ProblemKind.INVALID]
    assert all("deny everything" in problem.message for problem in meaning.problems)


def test_an_administrators_policy_that_was_valid_keeps_its_last_valid_meaning():
    meaning = LastValid()
    rules_in_force(meaning, {"a.yaml": admin(GOOD)})
    assert rules_in_force(meaning, {"a.yaml": admin(UNKNOWN)}) == []
    assert {problem.kind for problem in meaning.problems} == {ProblemKind.STALE}


def test_a_closed_policy_follows_its_document_and_stays_closed_when_that_says_nothing():
    meaning = LastValid()
    rules_in_force(meaning, {"a.yaml": admin(UNKNOWN)})
    assert rules_in_force(meaning, {"a.yaml": admin(UNKNOWN, priority="nonsense")}) == []
    assert rules_in_force(meaning, {"a.yaml": "kind: ["}) == []
    [[mended]] = rules_in_force(meaning, {"a.yaml": admin(GOOD)})
    assert mended.source.namespace_selector == "all()"
    assert meaning.problems == ()
    assert rules_in_force(meaning, {"a.yaml": None}) == [None]


class Plodding(LastValid):
    """Looks at all files for each change."""

    def _is_alone(self, file, entries):
        return False


CONTENTS = st.sampled_from(
    (
        None,
        "",
        tiers(x=1),
        tiers(x=2),
        tiers(y=1),
        tiers(x="nope"),
        tiers(x=1, y=2),
        "kind: [",
        admin(GOOD),
        admin(UNKNOWN),
    )
)
STEPS = st.lists(st.dictionaries(st.sampled_from(("a.yaml", "b.yaml", "c.yaml")), CONTENTS, max_size=3), max_size=8)


@given(STEPS)
def test_looking_only_at_what_changed_says_what_looking_at_everything_says(steps):
    quick, plodding = LastValid(), Plodding()
    for step in steps:
        changed = {name: None if text is None else read_entries(name, text.encode()) for name, text in step.items()}
        assert quick.take(changed) == plodding.take(changed)
