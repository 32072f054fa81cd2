"""Kubernetes NetworkPolicy as its documentation describes it: a world of recipes, and who reaches whom, by hand.

A namespace for each recipe, with one or two pods; `free` and `other` have no policy and are everybody's clients. What is
allowed is written here in plain Python, from the documented meaning and not from any code of the product.
"""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import yaml

PORTS = ((80, "TCP"), (8001, "TCP"), (8003, "TCP"), (5353, "UDP"))
EXCEPTED = "10.2.0.0/30"
"""Holds the pods with the first two addresses: free/one and free/two."""

PODS: dict[str, dict[str, Any]] = {
    name: {"labels": labels, "web": web}
    for name, labels, web in (
        ("free/one", {"app": "one"}, None),
        ("free/two", {"app": "two"}, None),
        ("other/two", {"app": "two"}, None),
        ("deny-all/a", {}, None),
        ("deny-ingress/a", {}, None),
        ("deny-egress/a", {}, None),
        ("allow-all/a", {}, None),
        ("from-namespace/a", {}, None),
        ("from-pods-anywhere/a", {}, None),
        ("from-own/a", {}, None),
        ("from-own/b", {}, None),
        ("from-either/a", {}, None),
        ("block/a", {}, None),
        ("range/a", {}, None),
        ("named/a", {}, 80),
        ("named/b", {}, 8001),
        ("only-udp/a", {}, None),
        ("part/chosen", {"app": "chosen"}, None),
        ("part/left", {}, None),
        ("to-namespace/a", {}, None),
    )
}
NAMESPACES = tuple(dict.fromkeys(name.split("/")[0] for name in PODS))
ADDRESSES = {
    name: (ip_address("10.2.0.2") + number, ip_address("fd00:2::2") + number) for number, name in enumerate(PODS)
}
TEAM = {"free": "a", "other": "b"}


def from_peers(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Ingress from these peers."""
    rule: dict[str, Any] = {"from": list(peers)} if peers else {}
    return {"podSelector": {}, "ingress": [{**rule, **({"ports": ports} if ports else {})}]}


TEAM_A = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
APP_TWO = {"podSelector": {"matchLabels": {"app": "two"}}}
POLICIES: dict[str, list[dict[str, Any]]] = {
    "deny-all": [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}],
    "deny-ingress": [{"podSelector": {}, "policyTypes": ["Ingress"]}],
    "deny-egress": [{"podSelector": {}, "policyTypes": ["Egress"]}],
    "allow-all": [{"podSelector": {}, "policyTypes": ["Ingress"]}, from_peers()],
    "from-namespace": [from_peers(TEAM_A)],
    "from-pods-anywhere": [from_peers({"namespaceSelector": {}, **APP_TWO})],
    "from-own": [from_peers({"podSelector": {}})],
    "from-either": [from_peers(TEAM_A, {"namespaceSelector": {}, **APP_TWO})],
    "block": [from_peers({"ipBlock": {"cidr": "10.2.0.0/16", "except": [EXCEPTED]}})],
    "range": [from_peers(ports=[{"protocol": "TCP", "port": 8000, "endPort": 8002}])],
    "named": [from_peers(ports=[{"protocol": "TCP", "port": "web"}])],
    "only-udp": [from_peers(ports=[{"protocol": "UDP", "port": 5353}])],
    "part": [{"podSelector": {"matchLabels": {"app": "chosen"}}, "ingress": []}],
    "to-namespace": [
        {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [TEAM_A], "ports": [{"port": 80}]}]}
    ],
}


def documents() -> list[dict[str, Any]]:
    """Namespaces, pods and policies."""
    core, networking = "v1", "networking.k8s.io/v1"
    found: list[dict[str, Any]] = [
        {"apiVersion": core, "kind": "Namespace", "metadata": {"name": name, "labels": {"team": TEAM.get(name, "c")}}}
        for name in NAMESPACES
    ]
    for name, told in PODS.items():
        namespace, pod = name.split("/")
        ports = [{"name": "web", "containerPort": told["web"]}] if told["web"] else []
        found.append(
            {
                "apiVersion": core,
                "kind": "Pod",
                "metadata": {"name": pod, "namespace": namespace, "labels": told["labels"]},
                "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "i", "ports": ports}]},
                "status": {"podIPs": [{"ip": str(address)} for address in ADDRESSES[name]]},
            }
        )
    for namespace, specs in POLICIES.items():
        for number, spec in enumerate(specs):
            metadata = {"name": f"recipe-{number}", "namespace": namespace}
            found.append({"apiVersion": networking, "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
    return found


def text(*, without: str = "") -> str:
    """As a file; `without` leaves out the policies of a namespace."""
    kept = [item for item in documents() if item["kind"] != "NetworkPolicy" or item["metadata"]["namespace"] != without]
    return yaml.safe_dump_all(kept)


# --- what the documentation says ---

Ingress = Callable[[str, str, int, str, int], bool]
"""Source, destination, port, protocol, family."""


def team_a(source: str) -> bool:
    """Whether the source is in a namespace of team a."""
    return source.startswith("free/")


def app_two(source: str) -> bool:
    """Whether the source carries app=two."""
    return source.endswith("/two")


def in_block(source: str, family: int) -> bool:
    """An ipBlock of IPv4 means nobody who comes over IPv6."""
    address = ADDRESSES[source][0]
    return family == 4 and address not in ip_network(EXCEPTED)


INGRESS: dict[str, Ingress] = {
    "deny-all": lambda *_: False,
    "deny-ingress": lambda *_: False,
    "from-namespace": lambda source, *_: team_a(source),
    "from-pods-anywhere": lambda source, *_: app_two(source),
    "from-own": lambda source, *_: source.startswith("from-own/"),
    "from-either": lambda source, *_: team_a(source) or app_two(source),
    "block": lambda source, _to, _port, _protocol, family: in_block(source, family),
    "range": lambda _source, _to, port, protocol, _family: protocol == "TCP" and port == 8001,
    "named": lambda _source, to, port, _protocol, _family: port == PODS[to]["web"],
    "only-udp": lambda _source, _to, _port, protocol, _family: protocol == "UDP",
    "part": lambda _source, to, *_: to != "part/chosen",
}


def is_allowed(source: str, destination: str, port: int, protocol: str, family: int) -> bool:
    """What the documentation of NetworkPolicy says."""
    namespace = source.split("/", maxsplit=1)[0]
    if namespace in ("deny-all", "deny-egress"):
        return False
    if namespace == "to-namespace" and not (team_a(destination) and (port, protocol) == (80, "TCP")):
        return False
    ingress = INGRESS.get(destination.split("/", maxsplit=1)[0])
    return ingress is None or ingress(source, destination, port, protocol, family)
