"""DNS options in annotations, the order of tiers, labels and generated profiles."""

import pytest

from policy import labels, options, profiles, tiers
from policy.domains import Wildcard
from policy.options import AnnotationError, domain_options
from policy.resources.conversion import endpoint_of_pod
from policy.rules import Action, DomainOptions, PolicyID
from tests.policy.documents import account, endpoint, namespace, network_set, pod, tier

PREFIX = "dns.tidegate.io/"


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        ({}, DomainOptions()),
        ({"example.com/other": "x"}, DomainOptions()),
        ({PREFIX + "ttl-floor": "10s"}, DomainOptions(ttl_floor_seconds=10)),
        ({PREFIX + "ttl-ceiling": "1h30m"}, DomainOptions(ttl_ceiling_seconds=5400)),
        ({PREFIX + "extra-ttl": "1.5s250ms"}, DomainOptions(extra_ttl_seconds=1.75)),
        ({PREFIX + "allow-private": "true"}, DomainOptions(allow_private=True)),
        ({PREFIX + "allow-private": "false"}, DomainOptions()),
        ({PREFIX + "scope": "node"}, DomainOptions(scope="node")),
        ({PREFIX + "scope": "endpoint"}, DomainOptions(scope="endpoint")),
    ],
)
def test_domain_options(annotations, wanted):
    assert domain_options(annotations) == wanted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ttl-floor", "10"),
        ("ttl-floor", ""),
        ("ttl-floor", "-1s"),
        ("ttl-floor", "1d"),
        ("ttl-floor", "1s "),
        ("allow-private", "yes"),
        ("scope", "cluster"),
        ("wildcard", "*"),
        ("ttl-flor", "10s"),
    ],
)
def test_wrong_options_are_refused_with_their_key(key, value):
    with pytest.raises(AnnotationError, match="cannot use annotation dns") as caught:
        domain_options({PREFIX + key: value})
    assert caught.value.key == PREFIX + key


def test_wildcards_span_labels_unless_told_otherwise():
    assert options.wildcard({}) is Wildcard.LABELS
    assert options.wildcard({PREFIX + "wildcard": "labels"}) is Wildcard.LABELS
    assert options.wildcard({PREFIX + "wildcard": "single-label"}) is Wildcard.SINGLE_LABEL


# --- Tiers ---


def test_reserved_tiers_exist_with_fixed_values():
    found = {name: tiers.tier_order(name, None) for name in ("kube-admin", "default", "kube-baseline")}
    assert [order.order for order in found.values()] == [1000, 1e6, 1e7]
    assert [order.default_action for order in found.values()] == [Action.PASS, Action.DENY, Action.PASS]
    assert all(order.is_known for order in found.values())


def test_unknown_tiers_stand_behind_all_and_deny():
    known = tiers.tier_order("z", tier("z", order=1e9, defaultAction="Pass"))
    unknown = tiers.tier_order("a", None)
    assert known.sort_key < unknown.sort_key
    assert unknown.default_action is Action.DENY


def test_policies_stand_by_order_and_then_by_text():
    made = [
        (-1.0, PolicyID("z", "", "NetworkPolicy")),
        (0.5, PolicyID("a-b", "ns", "NetworkPolicy")),
        (0.5, PolicyID("a.b", "ns", "NetworkPolicy")),
        (0.5, PolicyID("a", "", "GlobalNetworkPolicy")),
        (0.5, PolicyID("a", "ns", "NetworkPolicy")),
        (0.5, PolicyID("a", "ns", "StagedNetworkPolicy")),
        (0.5, PolicyID("b", "", "GlobalNetworkPolicy")),
        (None, PolicyID("a", "", "GlobalNetworkPolicy")),
    ]
    shuffled = made[::2] + made[1::2]
    assert sorted(shuffled, key=lambda item: tiers.policy_sort_key(item[1], item[0])) == made


# --- Labels ---


def test_own_labels_of_an_endpoint():
    made = endpoint(
        "a",
        labels={
            "app": "x",
            "pcns.a": "1",
            "pcsa.b": "2",
            labels.SERVICE_ACCOUNT: "claimed",
            labels.NAMESPACE: "claimed",
        },
        orchestrator="cni",
    )
    assert labels.endpoint_labels(made) == {"app": "x", labels.NAMESPACE: "ns", labels.ORCHESTRATOR: "cni"}
    running = endpoint("a", serviceAccountName="sa" * 40)
    assert labels.endpoint_labels(running)[labels.SERVICE_ACCOUNT] == "sa" * 40


def test_network_sets_belong_to_their_namespace():
    own, cluster = network_set("s", namespace="ns", labels={"a": "b"}), network_set("s", labels={"a": "b"})
    assert labels.network_set_labels(own) == {"a": "b", labels.NAMESPACE: "ns"}
    assert labels.network_set_profiles(own) == ("kns.ns",)
    assert labels.network_set_labels(cluster) == {"a": "b"}
    assert labels.network_set_profiles(cluster) == ()


def test_generated_profiles():
    of_namespace = profiles.of_namespace(namespace("ns", team="red"))
    assert of_namespace.metadata.name == "kns.ns"
    assert of_namespace.spec.labels_to_apply == {
        "pcns.team": "red",
        "pcns.kubernetes.io/metadata.name": "ns",  # the API server labels every namespace so
        "pcns.projectcalico.org/name": "ns",
    }
    assert [rule.action for rule in of_namespace.spec.ingress + of_namespace.spec.egress] == [Action.ALLOW] * 2
    of_account = profiles.of_service_account(account("sa", role="x"))
    assert of_account.metadata.name == "ksa.ns.sa"
    assert of_account.spec.labels_to_apply == {"pcsa.role": "x", "pcsa.projectcalico.org/name": "sa"}
    assert (of_account.spec.ingress, of_account.spec.egress) == ((), ())


def test_labels_with_the_longest_keys_are_passed_on():
    key = "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 60 + "/" + "n" * 63
    assert f"pcns.{key}" in profiles.of_namespace(namespace("ns", **{key: "x"})).spec.labels_to_apply


def test_pods_inherit_from_namespace_and_account():
    assert endpoint_of_pod(pod("a", account="sa")).spec.profiles == ("kns.ns", "ksa.ns.sa")
