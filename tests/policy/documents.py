"""Resources from short documents, as the tests of the semantics write them."""

from ipaddress import ip_address

import yaml

from policy.domains import DomainName
from policy.evaluate import LearnedName, Packet, Party, World, judge
from policy.resources.decode import decode
from policy.resources.metadata import Resource
from policy.rules import EndpointID

V3 = {
    "Tier",
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "NetworkSet",
    "GlobalNetworkSet",
    "WorkloadEndpoint",
    "HostEndpoint",
    "KubeControllersConfiguration",
    "Profile",
}


def resource(document: dict) -> Resource:
    """Decodes; the apiVersion may be left out."""
    version = "projectcalico.org/v3" if document["kind"] in V3 else "v1"
    decoded = decode({"apiVersion": version, **document})
    assert isinstance(decoded, Resource), decoded
    return decoded


def resources(text: str) -> list[Resource]:
    """Decodes every document of a YAML text."""
    return [resource(document) for document in yaml.safe_load_all(text) if document]


def pod(name, ip="", *, namespace="ns", labels=None, node="node-1", account="", ports=()) -> Resource:
    """A pod; ports are (name, protocol, number)."""
    return resource(
        {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": {
                "nodeName": node,
                **({"serviceAccountName": account} if account else {}),
                "containers": [
                    {"ports": [{"name": n, "protocol": proto, "containerPort": number} for n, proto, number in ports]}
                ],
            },
            "status": {"podIPs": [{"ip": part} for part in ip.split()]},
        }
    )


def namespace(name="ns", **labels) -> Resource:
    return resource({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def account(name, *, namespace="ns", **labels) -> Resource:
    return resource({"kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace, "labels": labels}})


def tier(name, **spec) -> Resource:
    return resource({"kind": "Tier", "metadata": {"name": name}, "spec": spec})


def policy(name="p", *, namespace="ns", annotations=None, **spec) -> Resource:
    """A NetworkPolicy, or a GlobalNetworkPolicy if the namespace is empty."""
    metadata = {"name": name, "annotations": annotations or {}}
    if namespace:
        return resource(
            {"kind": "NetworkPolicy", "metadata": {**metadata, "namespace": namespace}, "spec": spec},
        )
    return resource({"kind": "GlobalNetworkPolicy", "metadata": metadata, "spec": spec})


def network_set(name, *, namespace="", labels=None, nets=(), domains=()) -> Resource:
    """A GlobalNetworkSet, or a NetworkSet if there is a namespace."""
    spec = {"nets": list(nets), "allowedEgressDomains": list(domains)}
    metadata = {"name": name, "labels": labels or {}}
    if namespace:
        return resource({"kind": "NetworkSet", "metadata": {**metadata, "namespace": namespace}, "spec": spec})
    return resource({"kind": "GlobalNetworkSet", "metadata": metadata, "spec": spec})


def profile(name, **spec) -> Resource:
    return resource({"kind": "Profile", "metadata": {"name": name}, "spec": spec})


def endpoint_slice(name, ip="", *, service="web", namespace="ns", ports=(), ready=True) -> Resource:
    """A slice of a Service whose endpoints these are; ports are (name, protocol, number)."""
    return resource(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv6" if ":" in ip else "IPv4",
            "endpoints": [{"addresses": [part], "conditions": {"ready": ready}} for part in ip.split()],
            "ports": [{"name": n, "protocol": proto, "port": number} for n, proto, number in ports],
        }
    )


def node(name="node-1", ip="", *, labels=None, annotations=None) -> Resource:
    """A Node whose internal addresses these are."""
    addresses = [{"type": "InternalIP", "address": part} for part in ip.split()]
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    return resource({"kind": "Node", "metadata": metadata, "status": {"addresses": addresses}})


def automatic_hosts(name="default", **host_endpoint) -> Resource:
    """The configuration by which nodes get host endpoints by themselves."""
    spec = {"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled", **host_endpoint}}}}
    return resource({"kind": "KubeControllersConfiguration", "metadata": {"name": name}, "spec": spec})


def host_endpoint(name, ip="", *, labels=None, node="node-1", **spec) -> Resource:
    """A HostEndpoint that expects the addresses; ports are (name, protocol, number)."""
    spec["ports"] = [{"name": n, "protocol": proto, "port": number} for n, proto, number in spec.get("ports", ())]
    spec = {"node": node, "expectedIPs": ip.split(), **spec}
    return resource({"kind": "HostEndpoint", "metadata": {"name": name, "labels": labels or {}}, "spec": spec})


def endpoint(name, ip="", *, namespace="ns", labels=None, node="node-1", **spec) -> Resource:
    """A WorkloadEndpoint."""
    networks = [f"{part}/{32 if '.' in part else 128}" for part in ip.split()]
    return resource(
        {
            "kind": "WorkloadEndpoint",
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": {"node": node, "interfaceName": f"if-{name}"[:15], "ipNetworks": networks, **spec},
        }
    )


PROTOCOLS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPv6": 58, "SCTP": 132}


def packet(source, destination, port=80, protocol="TCP", **fields) -> Packet:
    """From one address to another."""
    return Packet(
        source=Party(address=ip_address(source)),
        destination=Party(address=ip_address(destination)),
        protocol=PROTOCOLS.get(protocol, protocol),
        destination_port=port if protocol in ("TCP", "UDP", "SCTP") else None,
        **fields,
    )


def learned(endpoint, name, ip) -> LearnedName:
    return LearnedName(EndpointID(endpoint), DomainName.parse(name), ip_address(ip))


def verdict(world, *args, names=(), **fields):
    """Judges a packet in a list of resources."""
    return judge(World(world), packet(*args, **fields), names)
