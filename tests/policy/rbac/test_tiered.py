"""One table about writers of policies: `policy/rbac` and the shipped admission policies decide each case alike."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.rbac import (
    MASTERS,
    Binding,
    Caller,
    Grants,
    Request,
    Role,
    RoleRef,
    RoleRule,
    Subject,
    SubjectKind,
    TierWrite,
    Verb,
    decide_policy,
    decide_tier,
)
from tests.policy.rbac.worlds import EVERYBODY, admit, grants, user

NP, GNP = "networkpolicies", "globalnetworkpolicies"
SNP, SGNP, SKNP = "stagednetworkpolicies", "stagedglobalnetworkpolicies", "stagedkubernetesnetworkpolicies"
ALL = ("create", "update", "delete")
ANA = user("ana", "writers")
BOT = Caller(
    name="system:serviceaccount:prod:bot",
    groups=frozenset((EVERYBODY, "system:serviceaccounts", "system:serviceaccounts:prod")),
)
TO_ANA = Subject(kind=SubjectKind.USER, name="ana")


def rule(resources, *names, verbs=ALL, groups=("projectcalico.org",)):
    resources = (resources,) if isinstance(resources, str) else resources
    return RoleRule(
        verbs=frozenset(verbs),
        api_groups=frozenset(groups),
        resources=frozenset(resources),
        resource_names=frozenset(names),
    )


def see(*tiers):
    return rule("tiers", *tiers, verbs=("get",))


def may(resource, *names, verbs=ALL):
    return rule(f"tier.{resource}", *names, verbs=verbs)


def clusterwide(*rules, to=TO_ANA):
    role = Role(name="cluster", rules=rules)
    return [role], [Binding(role=role.ref, subjects=(to,))]


def within(namespace, *rules, to=TO_ANA, shared=False):
    role = Role(name="local", namespace="" if shared else namespace, rules=rules)
    return [role], [Binding(role=role.ref, namespace=namespace, subjects=(to,))]


def both(*worlds):
    return [role for roles, _ in worlds for role in roles], [b for _, bindings in worlds for b in bindings]


def create(resource, name, tier="", namespace=""):
    return TierWrite(verb=Verb.CREATE, resource=resource, name=name, namespace=namespace, tier=tier)


def update(resource, name, tier="", namespace=""):
    return TierWrite(verb=Verb.UPDATE, resource=resource, name=name, namespace=namespace, tier=tier, old_tier=tier)


def move(resource, name, old, new, namespace=""):
    return TierWrite(verb=Verb.UPDATE, resource=resource, name=name, namespace=namespace, tier=new, old_tier=old)


def delete(resource, name, tier="", namespace=""):
    return TierWrite(verb=Verb.DELETE, resource=resource, name=name, namespace=namespace, old_tier=tier)


NOBODY = ((), ())
SEES_WEB = clusterwide(see("web"))
OWNS_WEB = clusterwide(see("web"), may(GNP, "web.*"), may(NP, "web.*"))
OWNS_BOTH = clusterwide(see("web", "db"), may(GNP, "web.*", "db.*"))
IN_PROD = both(clusterwide(see("web")), within("prod", may(NP, "web.*")))


@dataclass
class Case:
    promise: str
    world: tuple
    write: TierWrite
    allowed: bool
    caller: Caller = ANA


CASES = [
    # --- the two questions
    Case("nobody_writes_without_roles", NOBODY, create(GNP, "web.a", "web"), False),
    Case("seeing_the_tier_is_not_enough", SEES_WEB, create(GNP, "web.a", "web"), False),
    Case("the_grant_without_the_tier_is_not_enough", clusterwide(may(GNP, "web.*")), create(GNP, "web.a", "web"), False),
    Case("tier_and_grant_create", OWNS_WEB, create(GNP, "web.a", "web"), True),
    Case("tier_and_grant_update", OWNS_WEB, update(GNP, "web.a", "web"), True),
    Case("tier_and_grant_delete", OWNS_WEB, delete(GNP, "web.a", "web"), True),
    Case("list_does_not_replace_get", clusterwide(rule("tiers", verbs=("list", "watch")), may(GNP)), create(GNP, "a", "web"), False),
    Case("get_of_another_tier_does_not_help", clusterwide(see("db"), may(GNP)), create(GNP, "web.a", "web"), False),
    Case("get_of_all_tiers_helps", clusterwide(see(), may(GNP, "web.*")), create(GNP, "web.a", "web"), True),
    Case("tiers_of_another_group_do_not_help", clusterwide(rule("tiers", verbs=("get",), groups=("tidegate.io",)), may(GNP)), create(GNP, "a", "web"), False),
    Case("grants_of_another_group_do_not_help", clusterwide(see(), rule(f"tier.{GNP}", groups=("",))), create(GNP, "a", "web"), False),
    # --- other tiers, default tier
    Case("a_tier_is_not_its_neighbour", OWNS_WEB, create(GNP, "db.a", "db"), False),
    Case("a_tier_is_not_the_default_tier", OWNS_WEB, create(GNP, "a"), False),
    Case("no_tier_is_the_default_tier", clusterwide(see("default"), may(GNP, "default.*")), create(GNP, "a"), True),
    Case("the_default_tier_by_its_name", clusterwide(see("default"), may(GNP, "default.*")), create(GNP, "a", "default"), True),
    Case("the_name_does_not_choose_the_tier", OWNS_WEB, create(GNP, "web.a", "db"), False),
    Case("a_name_of_another_tier_does_not_take_the_leave_away", OWNS_WEB, create(GNP, "db.a", "web"), True),
    Case("tiers_that_begin_alike_are_two", OWNS_WEB, create(GNP, "web2.a", "web2"), False),
    Case("reserved_tiers_are_given_like_others", clusterwide(see("kube-admin"), may(GNP, "kube-admin.*")), create(GNP, "a", "kube-admin"), True),
    Case("reserved_tiers_are_not_for_all", OWNS_WEB, create(GNP, "a", "kube-baseline"), False),
    # --- resources
    Case("global_does_not_give_namespaced", clusterwide(see("web"), may(GNP)), create(NP, "a", "web", "prod"), False),
    Case("namespaced_does_not_give_global", clusterwide(see("web"), may(NP)), create(GNP, "a", "web"), False),
    Case("enforced_does_not_give_staged", OWNS_WEB, create(SGNP, "web.a", "web"), False),
    Case("staged_does_not_give_enforced", clusterwide(see("web"), may(SGNP)), create(GNP, "web.a", "web"), False),
    Case("staged_global", clusterwide(see("web"), may(SGNP, "web.*")), create(SGNP, "web.a", "web"), True),
    Case("staged_namespaced", clusterwide(see("web"), may(SNP, "web.*")), update(SNP, "web.a", "web", "prod"), True),
    Case("staged_kubernetes_is_the_default_tier", clusterwide(see("default"), may(SKNP, "default.*")), create(SKNP, "a", "", "prod"), True),
    Case("staged_kubernetes_is_no_other_tier", clusterwide(see("web"), may(SKNP, "web.*")), create(SKNP, "a", "", "prod"), False),
    Case("the_plain_resource_is_no_grant_in_the_tier", clusterwide(see(), rule(GNP)), create(GNP, "web.a", "web"), False),
    Case("every_resource_of_the_group", clusterwide(rule("*", verbs=("*",))), create(GNP, "web.a", "web"), True),
    Case("tier_star_is_no_pattern_for_resources", clusterwide(see(), rule("tier.*")), create(GNP, "web.a", "web"), False),
    Case("a_subresource_is_not_its_parent", clusterwide(see(), rule(f"tier.{GNP}/status")), update(GNP, "web.a", "web"), False),
    # --- names and wildcards
    Case("one_policy_by_its_name_updates", clusterwide(see("web"), may(GNP, "web.a")), update(GNP, "web.a", "web"), True),
    Case("one_policy_by_its_name_deletes", clusterwide(see("web"), may(GNP, "web.a")), delete(GNP, "web.a", "web"), True),
    Case("one_policy_by_its_name_creates", clusterwide(see("web"), may(GNP, "web.a")), create(GNP, "web.a", "web"), True),
    Case("one_policy_is_not_another", clusterwide(see("web"), may(GNP, "web.a")), update(GNP, "web.b", "web"), False),
    Case("a_bare_name_is_its_own_grant", clusterwide(see("web"), may(GNP, "a")), update(GNP, "a", "web"), True),
    Case("a_bare_name_is_not_the_prefixed", clusterwide(see("web"), may(GNP, "a")), update(GNP, "web.a", "web"), False),
    Case("the_prefixed_name_is_not_the_bare", clusterwide(see("web"), may(GNP, "web.a")), update(GNP, "a", "web"), False),
    Case("a_bare_name_counts_in_any_tier_that_is_seen", clusterwide(see(), may(GNP, "a")), update(GNP, "a", "db"), True),
    Case("no_names_are_all_names", clusterwide(see(), may(GNP)), update(GNP, "anything", "db"), True),
    Case("a_star_is_no_name", clusterwide(see(), may(GNP, "*")), update(GNP, "web.a", "web"), False),
    Case("half_a_pattern_is_no_name", clusterwide(see(), may(GNP, "web.a*")), update(GNP, "web.a", "web"), False),
    Case("star_dot_star_is_no_name", clusterwide(see(), may(GNP, "*.*")), update(GNP, "web.a", "web"), False),
    Case("made_names_need_the_whole_tier", OWNS_WEB, create(GNP, "", "web"), True),
    Case("made_names_are_no_named_grant", clusterwide(see("web"), may(GNP, "web.a")), create(GNP, "", "web"), False),
    # --- verbs
    Case("create_is_not_update", clusterwide(see(), may(GNP, verbs=("create",))), update(GNP, "a", "web"), False),
    Case("update_is_not_create", clusterwide(see(), may(GNP, verbs=("update",))), create(GNP, "a", "web"), False),
    Case("update_is_not_delete", clusterwide(see(), may(GNP, verbs=("update",))), delete(GNP, "a", "web"), False),
    Case("delete_alone_deletes", clusterwide(see(), may(GNP, verbs=("delete",))), delete(GNP, "a", "web"), True),
    Case("patch_is_not_update", clusterwide(see(), may(GNP, verbs=("patch",))), update(GNP, "a", "web"), False),
    Case("deletecollection_is_not_delete", clusterwide(see(), may(GNP, verbs=("deletecollection",))), delete(GNP, "a", "web"), False),
    Case("every_verb", clusterwide(see(), may(GNP, verbs=("*",))), delete(GNP, "a", "web"), True),
    Case("reading_writes_nothing", clusterwide(see(), may(GNP, verbs=("get", "list", "watch"))), update(GNP, "a", "web"), False),
    # --- moves
    Case("a_move_needs_both", OWNS_BOTH, move(GNP, "a", "web", "db"), True),
    Case("a_move_needs_the_new_tier", OWNS_WEB, move(GNP, "a", "web", "db"), False),
    Case("a_move_needs_the_old_tier", OWNS_WEB, move(GNP, "a", "db", "web"), False),
    Case("a_move_needs_to_see_the_old_tier", clusterwide(see("web"), may(GNP)), move(GNP, "a", "db", "web"), False),
    Case("a_move_needs_to_see_the_new_tier", clusterwide(see("web"), may(GNP)), move(GNP, "a", "web", "db"), False),
    Case("a_move_needs_update_in_both", clusterwide(see(), may(GNP, "web.*"), may(GNP, "db.*", verbs=("create",))), move(GNP, "a", "web", "db"), False),
    Case("a_named_grant_moves_where_tiers_are_seen", clusterwide(see(), may(GNP, "a")), move(GNP, "a", "web", "db"), True),
    Case("out_of_the_default_tier", OWNS_WEB, move(GNP, "a", "", "web"), False),
    Case("into_the_default_tier", OWNS_WEB, move(GNP, "a", "web", ""), False),
    Case("naming_the_default_tier_is_no_move", clusterwide(see("default"), may(GNP, "default.*")), move(GNP, "a", "", "default"), True),
    # --- namespaces
    Case("a_binding_in_the_namespace", IN_PROD, create(NP, "a", "web", "prod"), True),
    Case("a_binding_in_another_namespace", IN_PROD, create(NP, "a", "web", "dev"), False),
    Case("a_binding_in_a_namespace_is_not_clusterwide", both(clusterwide(see("web")), within("prod", may(GNP))), create(GNP, "a", "web"), False),
    Case("seeing_tiers_is_clusterwide", within("prod", see("web"), may(NP, "web.*")), create(NP, "a", "web", "prod"), False),
    Case("a_cluster_role_bound_in_a_namespace", both(SEES_WEB, within("prod", may(NP), shared=True)), update(NP, "a", "web", "prod"), True),
    Case("a_cluster_role_bound_in_another_namespace", both(SEES_WEB, within("prod", may(NP), shared=True)), update(NP, "a", "web", "dev"), False),
    Case("a_clusterwide_binding_is_every_namespace", OWNS_WEB, delete(NP, "a", "web", "dev"), True),
    Case("a_move_within_a_namespace", both(clusterwide(see()), within("prod", may(NP, "web.*", "db.*"))), move(NP, "a", "web", "db", "prod"), True),
    # --- who
    Case("a_group", clusterwide(see(), may(GNP), to=Subject(kind=SubjectKind.GROUP, name="writers")), create(GNP, "a", "web"), True),
    Case("another_group", clusterwide(see(), may(GNP), to=Subject(kind=SubjectKind.GROUP, name="readers")), create(GNP, "a", "web"), False),
    Case("a_user_is_not_a_group_of_that_name", clusterwide(see(), may(GNP), to=Subject(kind=SubjectKind.GROUP, name="ana")), create(GNP, "a", "web"), False),
    Case("another_user", OWNS_WEB, create(GNP, "web.a", "web"), False, user("bob")),
    Case("masters_do_everything", NOBODY, move(GNP, "a", "web", "db"), True, user("root", MASTERS)),
    Case("a_service_account", clusterwide(see(), may(NP), to=Subject(kind=SubjectKind.SERVICE_ACCOUNT, name="bot", namespace="prod")), create(NP, "a", "web", "dev"), True, BOT),
    Case("a_service_account_of_another_namespace", clusterwide(see(), may(NP), to=Subject(kind=SubjectKind.SERVICE_ACCOUNT, name="bot", namespace="dev")), create(NP, "a", "web", "dev"), False, BOT),
    Case("a_service_account_without_namespace_is_nobody", clusterwide(see(), may(NP), to=Subject(kind=SubjectKind.SERVICE_ACCOUNT, name="bot")), create(NP, "a", "web", "dev"), False, BOT),
    Case("a_service_account_is_of_its_bindings_namespace", both(clusterwide(see(), to=Subject(kind=SubjectKind.GROUP, name=EVERYBODY)), within("prod", may(NP), to=Subject(kind=SubjectKind.SERVICE_ACCOUNT, name="bot"))), create(NP, "a", "web", "prod"), True, BOT),
    Case("all_service_accounts_of_a_namespace", clusterwide(see(), may(NP), to=Subject(kind=SubjectKind.GROUP, name="system:serviceaccounts:prod")), create(NP, "a", "web", "dev"), True, BOT),
    Case("a_missing_role_gives_nothing", ((), [Binding(role=RoleRef("gone"), subjects=(TO_ANA,))]), create(GNP, "a", "web"), False),
    Case("a_missing_role_harms_nothing", both(OWNS_WEB, ((), [Binding(role=RoleRef("gone"), subjects=(TO_ANA,))])), create(GNP, "a", "web"), True),
    Case("the_garbage_collector_deletes", NOBODY, delete(GNP, "a", "web"), True, user("system:serviceaccount:kube-system:generic-garbage-collector")),
    Case("the_namespace_controller_deletes", NOBODY, delete(NP, "a", "web", "prod"), True, user("system:serviceaccount:kube-system:namespace-controller")),
    Case("the_controllers_create_nothing", NOBODY, create(NP, "a", "web", "prod"), False, user("system:kube-controller-manager")),
]  # fmt: skip


def stored(write, tier):
    """The object as the API server holds it."""
    metadata = {"name": write.name, **({"namespace": write.namespace} if write.namespace else {})}
    return {"metadata": metadata, "spec": {"tier": tier} if tier else {}}


def admitted(roles, caller, write):
    request = {
        "operation": write.verb.upper(),
        "name": write.name,
        "namespace": write.namespace,
        "resource": {"group": "projectcalico.org", "version": "v3", "resource": write.resource},
    }
    new = None if write.verb is Verb.DELETE else stored(write, write.tier)
    old = None if write.verb is Verb.CREATE else stored(write, write.old_tier)
    return admit("tiered-policies.tidegate.io", roles, caller, request, new, old)


def test_the_table_is_large_and_says_each_promise_once():
    assert len(CASES) >= 60
    assert len({case.promise for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_the_reference_decides(case):
    decision = decide_policy(grants(*case.world), case.caller, case.write)
    assert decision.is_allowed is case.allowed
    assert bool(decision.reason) is not case.allowed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_the_admission_policy_decides_alike_and_in_the_same_words(case):
    roles = grants(*case.world)
    messages = admitted(roles, case.caller, case.write)
    assert messages[:1] == [decide_policy(roles, case.caller, case.write).reason][: not case.allowed]


TIERS = st.sampled_from(("", "default", "web", "db"))
NAMES = st.sampled_from(("a", "web.a", "web.*", "db.*", "default.*"))
RULES = st.builds(
    lambda resources, verbs, names: rule(resources, *names, verbs=verbs),
    st.sets(st.sampled_from(("tiers", f"tier.{NP}", f"tier.{GNP}", "*")), min_size=1),
    st.sets(st.sampled_from(("get", *ALL, "*")), min_size=1),
    st.one_of(st.just(()), st.sets(st.one_of(NAMES, st.sampled_from(("web", "db", "default"))), max_size=3)),
)
PLACES = st.sampled_from(("", "prod", "dev"))
WORLDS = st.lists(st.tuples(PLACES, st.lists(RULES, max_size=3)), max_size=3)


@st.composite
def writes(draw):
    resource = draw(st.sampled_from((NP, GNP)))
    return TierWrite(
        verb=draw(st.sampled_from(Verb)),
        resource=resource,
        name=draw(st.sampled_from(("", "a", "web.a"))),
        namespace=draw(st.sampled_from(("prod", "dev"))) if resource == NP else "",
        tier=draw(TIERS),
        old_tier=draw(TIERS),
    )


@settings(max_examples=60, deadline=None)
@given(world=WORLDS, write=writes())
def test_in_random_worlds_both_decide_alike(world, write):
    roles = [Role(name=f"r{i}", namespace=place, rules=tuple(rules)) for i, (place, rules) in enumerate(world)]
    bindings = [Binding(role=role.ref, namespace=role.namespace, subjects=(TO_ANA,)) for role in roles]
    asked = grants(roles, bindings)
    messages = admitted(asked, ANA, write)
    decision = decide_policy(asked, ANA, write)
    assert messages[:1] == [decision.reason][: not decision.is_allowed]


# --- What surrounds the tiers' own questions ---


def test_without_the_passing_role_the_plain_resource_is_asked_too():
    roles, bindings = OWNS_WEB
    write = update(GNP, "web.a", "web")
    alone = decide_policy(Grants(roles, bindings), ANA, write)
    assert alone.reason == 'user "ana" cannot update globalnetworkpolicies'
    plain = both(
        OWNS_WEB, ([Role(name="plain", rules=(rule(GNP),))], [Binding(role=RoleRef("plain"), subjects=(TO_ANA,))])
    )
    assert decide_policy(Grants(*plain), ANA, write).is_allowed


def test_the_passing_role_gives_writes_only_and_to_those_who_are_known():
    roles = grants((), ())
    everything = [NP, GNP, SNP, SGNP, SKNP]
    for resource in everything:
        assert all(roles.allow(ANA, Request(verb=v, resource=resource)) for v in (*ALL, "patch", "deletecollection"))
        assert not any(roles.allow(ANA, Request(verb=v, resource=resource)) for v in ("get", "list", "watch"))
        assert not roles.allow(Caller(name="system:anonymous"), Request(verb="create", resource=resource))
        assert not roles.allow(ANA, Request(verb="update", resource=f"{resource}/status"))


def test_a_resource_without_tiers_is_an_error():
    with pytest.raises(ValueError, match="no resource whose objects stand in tiers"):
        decide_policy(grants((), ()), ANA, create("networksets", "a"))


def test_a_subresource_of_everything_is_that_subresource_only():
    roles = grants(*clusterwide(rule("*/status")))
    assert roles.allow(ANA, Request(verb="update", resource="tiers/status"))
    assert not roles.allow(ANA, Request(verb="update", resource="tiers"))
    assert not roles.allow(ANA, Request(verb="update", resource="tiers/scale"))


def test_a_binding_to_another_namespaces_role_gives_nothing():
    role = Role(name="r", namespace="dev", rules=(rule("*", verbs=("*",)),))
    roles = grants([role], [Binding(role=role.ref, namespace="prod", subjects=(TO_ANA,))])
    assert not roles.allow(ANA, Request(verb="get", resource=NP, namespace="prod"))
    assert not roles.allow(ANA, Request(verb="get", resource=NP, namespace="dev"))


# --- Tiers ---


SPEC, OTHER = {"order": 100, "defaultAction": "Deny"}, {"order": 5, "defaultAction": "Deny"}
TIER_WRITES = [
    (Verb.DELETE, "web", SPEC, None, True),
    (Verb.UPDATE, "web", SPEC, OTHER, True),
    (Verb.DELETE, "default", SPEC, None, False),
    (Verb.DELETE, "kube-admin", SPEC, None, False),
    (Verb.DELETE, "kube-baseline", SPEC, None, False),
    (Verb.UPDATE, "default", SPEC, OTHER, False),
    (Verb.UPDATE, "kube-admin", None, OTHER, False),
    (Verb.UPDATE, "kube-baseline", SPEC, None, False),
    (Verb.UPDATE, "default", SPEC, SPEC, True),
    (Verb.UPDATE, "default", None, None, True),
]


@pytest.mark.parametrize(("verb", "name", "old", "new", "allowed"), TIER_WRITES)
def test_reserved_tiers_stay_as_they_are(verb, name, old, new, allowed):
    roles = grants(*clusterwide(rule("tiers", verbs=("*",))))
    decision = decide_tier(roles, ANA, verb, name, changes_spec=old != new)
    assert decision.is_allowed is allowed

    def tier(spec):
        return {"metadata": {"name": name}, **({"spec": spec} if spec else {})}

    # A collection that is deleted names no object in the request.
    request = {"operation": verb.upper(), "name": "" if verb is Verb.DELETE else name}
    messages = admit(
        "reserved-tiers.tidegate.io", roles, ANA, request, None if verb is Verb.DELETE else tier(new), tier(old)
    )
    assert messages == ([] if allowed else [decision.reason])


def test_tiers_are_written_by_those_whom_plain_roles_let():
    assert not decide_tier(grants(*OWNS_WEB), ANA, Verb.DELETE, "web").is_allowed
    assert decide_tier(grants(*clusterwide(rule("tiers", "web"))), ANA, Verb.DELETE, "web").is_allowed
    assert not decide_tier(grants(*clusterwide(rule("tiers", "web"))), ANA, Verb.DELETE, "db").is_allowed
