"""One cluster for all tests that only ask the API server."""

import pytest

from tests.kube.cluster import running

ROOT = "deploy/kubernetes"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, pytestconfig):
    """With Tidegate's definitions; ana is nobody in particular."""
    scratch = tmp_path_factory.mktemp("cluster")
    users = {"ana": ("ana-token", ("writers",)), "node-agent": ("agent-token", ())}
    with running(scratch, users=users) as found:
        install(found, pytestconfig.rootpath)
        yield found


def install(cluster, root):
    """Tidegate's definitions, ready to be used."""
    cluster.kubectl("apply", "--server-side", "-f", str(root / ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
