"""What deploy/ ships, on a real API server."""

import pytest
import yaml

from tidegate.store.kube.kinds import SERVED, STORED, collections

pytestmark = [pytest.mark.kernel, pytest.mark.kube, pytest.mark.timeout(120)]


def test_everything_is_taken_as_a_whole(cluster, pytestconfig):
    directory = pytestconfig.rootpath / "deploy" / "kubernetes"
    cluster.kubectl("create", "namespace", "tidegate-system")
    done = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", str(directory))
    assert "daemonset.apps/tidegate-node" in done.stdout
    assert "clusterrole.rbac.authorization.k8s.io/tidegate-node" in done.stdout
    assert done.stdout.count("customresourcedefinition") == len(list((directory / "crds").iterdir()))
    assert "Warning" not in done.stderr
    cluster.kubectl("delete", "namespace", "tidegate-system", "--wait=false")


def test_the_agents_role_is_what_it_follows_and_nothing_else(pytestconfig):
    text = (pytestconfig.rootpath / "deploy/kubernetes/tidegate.yaml").read_text()
    (role,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "ClusterRole"]
    assert all(rule["verbs"] == ["list", "watch"] and "resourceNames" not in rule for rule in role["rules"])
    given = {(group, name) for rule in role["rules"] for group in rule["apiGroups"] for name in rule["resources"]}
    followed = {
        (each.api_version.rpartition("/")[0], each.resource)
        for version in (SERVED, STORED)
        for each in collections(version)
    }
    assert given == followed


def test_the_agent_has_three_capabilities_and_writes_in_two_places(pytestconfig):
    text = (pytestconfig.rootpath / "deploy/kubernetes/tidegate.yaml").read_text()
    (daemons,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "DaemonSet"]
    spec = daemons["spec"]["template"]["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]}
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
    assert [each["hostPath"]["path"] for each in spec["volumes"] if "hostPath" in each] == [
        "/var/lib/tidegate",
        "/run/tidegate",
    ]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
