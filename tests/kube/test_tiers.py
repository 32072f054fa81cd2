"""Who may write which tier, asked of a real API server: the table that `policy/rbac` and an interpreter of CEL decide."""

from dataclasses import replace

import pytest

from policy.rbac import MASTERS, Caller, decide_policy
from policy.resources.policies import RESERVED_TIERS
from tests.policy.rbac.test_tiered import CASES, Verb, grants, stored
from tests.policy.rbac.worlds import EVERYBODY, MANIFEST

pytestmark = [pytest.mark.kernel, pytest.mark.kube, pytest.mark.timeout(240)]

KINDS = {
    "networkpolicies": "NetworkPolicy",
    "globalnetworkpolicies": "GlobalNetworkPolicy",
    "stagednetworkpolicies": "StagedNetworkPolicy",
    "stagedglobalnetworkpolicies": "StagedGlobalNetworkPolicy",
    "stagedkubernetesnetworkpolicies": "StagedKubernetesNetworkPolicy",
}
NODE_NAMES = ("prod", "dev")
RBAC = "rbac.authorization.k8s.io"


class Renamed:
    """A case under names of its own, so that all cases can be in one cluster at once."""

    def __init__(self, number, case):
        self.number, self.case = number, case
        self.caller = self._caller(case.caller)
        roles, bindings = case.world
        self.roles = [replace(role, name=self._role(role.name)) for role in roles]
        self.bindings = [
            replace(
                binding,
                role=replace(binding.role, name=self._role(binding.role.name)),
                subjects=tuple(replace(subject, name=self._own(subject.name)) for subject in binding.subjects),
            )
            for binding in bindings
        ]

    def _role(self, name):
        return f"case{self.number}-{name}"

    def _own(self, name):
        head, colon, account = name.rpartition(":")
        is_system = name.startswith("system:kube") or name == MASTERS or "kube-system" in name
        return name if is_system else f"{head}{colon}{account}-{self.number}"

    def _caller(self, caller):
        return Caller(name=self._own(caller.name), groups=frozenset((EVERYBODY, *map(self._own, caller.groups))))

    @property
    def documents(self):
        yield from (role_document(role) for role in self.roles)
        for index, binding in enumerate(self.bindings):
            yield binding_document(f"case{self.number}-{index}", binding)


def role_document(role):
    rules = [
        {
            "verbs": sorted(rule.verbs),
            "apiGroups": sorted(rule.api_groups),
            "resources": sorted(rule.resources),
            "resourceNames": sorted(rule.resource_names),
        }
        for rule in role.rules
    ]
    return document("Role", role.name, role.namespace, rules=rules)


def binding_document(name, binding):
    reference = {
        "apiGroup": RBAC,
        "kind": "Role" if binding.role.namespace else "ClusterRole",
        "name": binding.role.name,
    }
    subjects = [
        {"kind": subject.kind.value, "name": subject.name}
        # The API server wants to know whose account it is; one that says nothing is that of the binding.
        | (
            {"namespace": subject.namespace or binding.namespace}
            if subject.kind == "ServiceAccount"
            else {"apiGroup": RBAC}
        )
        for subject in binding.subjects
    ]
    return document("RoleBinding", name, binding.namespace, roleRef=reference, subjects=subjects)


def document(kind, name, namespace, **fields):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind if namespace else f"Cluster{kind}", "metadata": metadata, **fields}


def can_be_written(case):
    """A binding to an account of no namespace is nothing that an API server takes."""
    return all(
        subject.kind != "ServiceAccount" or subject.namespace or binding.namespace
        for binding in case.world[1]
        for subject in binding.subjects
    )


LIVE = [Renamed(number, case) for number, case in enumerate(CASES) if can_be_written(case)]


@pytest.fixture(scope="module")
def guarded(cluster):
    """The cluster with the shipped manifest, and the roles of all cases."""
    cluster.kubectl("apply", "-f", str(MANIFEST))
    cluster.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NODE_NAMES))
    cluster.apply(*(each for live in LIVE for each in live.documents))
    sentinels()(cluster)

    def is_guarded():
        status, _ = send(cluster, "POST", "globalnetworkpolicies", "", body("globalnetworkpolicies", "x", ""), NOBODY)
        return status == 403

    cluster.until(is_guarded, 30, "the admission policy is in force")
    yield cluster
    cluster.kubectl("delete", "-f", str(MANIFEST))
    for name in RESERVED_TIERS:

        def is_gone(path=f"/apis/projectcalico.org/v3/tiers/{name}"):
            return cluster.ask("DELETE", path)[0] in (200, 404)

        cluster.until(is_gone, 30, "nothing guards the tier any more")


NOBODY = Caller(name="nobody", groups=frozenset((EVERYBODY,)))


def sentinels():
    """Roles of the cases are known once those are that were written after them: each kind comes in order."""
    rules = [{"verbs": ["get"], "apiGroups": ["last.example"], "resources": ["last"]}]
    subject = [{"kind": "User", "name": "last", "apiGroup": RBAC}]

    def wait(cluster):
        for namespace in ("", "prod"):
            reference = {"apiGroup": RBAC, "kind": "Role" if namespace else "ClusterRole", "name": "last"}
            cluster.apply(
                document("Role", "last", namespace, rules=rules),
                document("RoleBinding", "last", namespace, roleRef=reference, subjects=subject),
            )
            attributes = {"verb": "get", "group": "last.example", "resource": "last", "namespace": namespace}
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": "last", "resourceAttributes": attributes},
            }

            def is_known(review=review):
                path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
                return cluster.ask("POST", path, body=review)[1]["status"]["allowed"]

            cluster.until(is_known, 30, "roles are known")
            # The rule without a namespace would answer the second question as well.
            if not namespace:
                cluster.kubectl("delete", "clusterrolebinding", "last")
                cluster.until(lambda check=is_known: not check(), 30, "roles are forgotten")

    return wait


def body(resource, name, tier, namespace="", version=""):
    made = stored(type("Object", (), {"name": name, "namespace": namespace}), tier)
    if not name:
        made["metadata"] = {**made["metadata"], "generateName": "made-"}
        del made["metadata"]["name"]
    if version:
        made["metadata"]["resourceVersion"] = version
    return {"apiVersion": "projectcalico.org/v3", "kind": KINDS[resource], **made}


def send(cluster, method, resource, namespace, content=None, caller=None, name="", **query):
    place = f"/namespaces/{namespace}" if namespace else ""
    path = f"/apis/projectcalico.org/v3{place}/{resource}{f'/{name}' if name else ''}"
    query = {"dryRun": "All", **query} if caller is not None else query
    return cluster.ask(method, path, body=content, caller=caller, **query)


def tried(cluster, write, caller):
    """The API server's answer to the caller, who writes nothing in the end."""
    resource, namespace, name = write.resource, write.namespace, write.name
    if write.verb is Verb.CREATE:
        return send(cluster, "POST", resource, namespace, body(resource, name, write.tier, namespace), caller)
    status, old = send(cluster, "POST", resource, namespace, body(resource, name, write.old_tier, namespace))
    assert status == 201, old
    try:
        if write.verb is Verb.DELETE:
            return send(cluster, "DELETE", resource, namespace, None, caller, name)
        new = body(resource, name, write.tier, namespace, old["metadata"]["resourceVersion"])
        new["metadata"]["labels"] = {"changed": "yes"}
        return send(cluster, "PUT", resource, namespace, new, caller, name)
    finally:
        assert send(cluster, "DELETE", resource, namespace, name=name)[0] == 200


def test_nearly_all_of_the_table_can_be_put_to_an_api_server():
    assert len(LIVE) >= 60
    assert len(CASES) - len(LIVE) <= 1


@pytest.mark.parametrize("live", LIVE, ids=lambda live: live.case.promise)
def test_the_api_server_decides_as_the_reference_does(guarded, live):
    decision = decide_policy(grants(live.roles, live.bindings), live.caller, live.case.write)
    assert decision.is_allowed is live.case.allowed
    status, answer = tried(guarded, live.case.write, live.caller)
    if decision.is_allowed:
        assert status in (200, 201), answer
    else:
        assert (status, answer["reason"]) == (403, "Forbidden"), answer
        assert decision.reason in answer["message"]


def test_tiers_are_moved_and_deleted_together_only_by_those_who_may(guarded):
    """deletecollection reaches admission as one deletion for each object."""
    live = next(each for each in LIVE if each.case.promise == "tier_and_grant_delete")
    for name, tier in (("web.one", "web"), ("db.one", "db")):
        assert send(guarded, "POST", "globalnetworkpolicies", "", body("globalnetworkpolicies", name, tier))[0] == 201
    status, answer = send(
        guarded, "DELETE", "globalnetworkpolicies", "", None, live.caller, fieldSelector="spec.tier=web"
    )
    assert status == 200, answer
    status, answer = send(guarded, "DELETE", "globalnetworkpolicies", "", None, live.caller)
    assert status == 403, answer
    for name in ("web.one", "db.one"):
        send(guarded, "DELETE", "globalnetworkpolicies", "", name=name)


@pytest.mark.parametrize("name", RESERVED_TIERS)
def test_reserved_tiers_stay_as_they_are_even_for_administrators(guarded, name):
    path = "/apis/projectcalico.org/v3/tiers"
    tier = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name}}
    status, stands = guarded.ask("POST", path, body=tier)
    assert status == 201, stands
    status, answer = guarded.ask("DELETE", f"{path}/{name}", dryRun="All")
    assert status == 403
    assert f'tier "{name}" is reserved and cannot be deleted' in answer["message"]
    status, answer = guarded.ask("DELETE", path, fieldSelector=f"metadata.name={name}", dryRun="All")
    assert status == 403, answer
    status, answer = guarded.ask("PUT", f"{path}/{name}", body={**stands, "spec": {"order": RESERVED_TIERS[name][0]}})
    assert status == 403, answer
    assert f'tier "{name}" is reserved: its order and action cannot be changed' in answer["message"]
    labelled = {**stands, "metadata": {**stands["metadata"], "labels": {"a": "b"}}}
    assert guarded.ask("PUT", f"{path}/{name}", body=labelled)[0] == 200


def test_other_tiers_go_and_change(guarded):
    path = "/apis/projectcalico.org/v3/tiers"
    tier = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "other"}, "spec": {"order": 5}}
    _, stands = guarded.ask("POST", path, body=tier)
    assert guarded.ask("PUT", f"{path}/other", body={**stands, "spec": {"order": 6}})[0] == 200
    assert guarded.ask("DELETE", f"{path}/other")[0] == 200
