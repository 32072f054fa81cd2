"""Documents for the tests of this room, decoded."""

from policy.errors import Faults
from policy.resources.decode import decode


def resource(document):
    found = decode(document)
    assert not isinstance(found, Faults), found
    return found


def workload(name, address="10.0.1.2", interface="cali-x"):
    return resource(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "WorkloadEndpoint",
            "metadata": {"name": name, "namespace": "a", "labels": {"ep": name}},
            "spec": {
                "orchestrator": "cni", "workload": name, "node": "n", "endpoint": "eth0",
                "interfaceName": interface, "ipNetworks": [f"{address}/32"],
            },
        }
    )  # fmt: skip


def pod(name, address="10.0.1.2"):
    return resource(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "a", "labels": {"ep": name}},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"podIPs": [{"ip": address}]},
        }
    )


def policy(*domains, name="p"):
    return resource(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "a"},
            "spec": {
                "selector": "all()",
                "types": ["Egress"],
                "egress": [{"action": "Allow", "destination": {"domains": list(domains)}}],
            },
        }
    )


def tell(desired, *resources):
    for item in resources:
        desired.on_update(item.key, item)
