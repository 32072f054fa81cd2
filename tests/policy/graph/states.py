"""Small states of a cluster and the sequences that are made of them; this node is node-1."""

from policy.resources.decode import decode
from policy.resources.metadata import Resource
from tests.policy.documents import (
    account,
    automatic_hosts,
    endpoint,
    endpoint_slice,
    host_endpoint,
    namespace,
    network_set,
    node,
    pod,
    policy,
    profile,
    tier,
)
from tests.policy.graph.checks import State, state_of

NS = namespace("ns", team="red")
NS_BLUE = namespace("ns", team="blue")
OTHER = namespace("other")
SA = account("sa", role="x")
A = pod("a", "10.0.0.1", labels={"app": "a"}, account="sa")
A_DUAL = pod("a", "10.0.0.1 fd00::1", labels={"app": "a"}, account="sa", ports=[("http", "TCP", 80)])
A_RELABELLED = pod("a", "10.0.0.1", labels={"app": "b"})
A_REMOTE = pod("a", "10.0.0.1", labels={"app": "a"}, node="node-2")
B = pod("b", "10.0.0.2", labels={"app": "b"}, ports=[("http", "TCP", 8080), ("dns", "UDP", 53)])
B_MOVED = pod("b", "10.0.0.3", labels={"app": "b"}, ports=[("http", "TCP", 8081)])
C_REMOTE = pod("c", "10.1.0.1", namespace="other", labels={"app": "c"}, node="node-2")
A_SAME_ADDRESS = pod("a2", "10.0.0.1", labels={"app": "a"}, node="node-2")
WRITTEN = endpoint("w", "10.0.0.1", labels={"app": "a"}, pod="a", profiles=["p1", "missing"])

EARLY = tier("early", order=10)
EARLY_PASS = tier("early", order=2_000_000, defaultAction="Pass")


def to(entity: dict, action: str = "Allow", **rule) -> dict:
    return {"action": action, "destination": entity, **rule}


TO_B = policy("to-b", selector="app == 'a'", egress=[to({"selector": "app == 'b'"})])
TO_B_AND_C = policy(
    "to-b",
    selector="app == 'a'",
    egress=[to({"selector": "app == 'b'"}), to({"selector": "app == 'c'", "namespaceSelector": "all()"})],
)
TO_B_BY_OTHERS = policy("to-b", selector="app == 'b'", egress=[to({"selector": "app == 'b'"})])
TO_B_EARLY = policy("to-b", selector="app == 'a'", tier="early", order=5, egress=[to({"selector": "app == 'b'"})])
TO_B_LATE = policy("to-b", selector="app == 'a'", order=9, egress=[to({"selector": "app == 'b'"})])
TO_B_BOTH = policy("to-b", selector="app == 'a'", types=["Ingress", "Egress"], egress=[to({"selector": "app == 'b'"})])
ALSO_TO_B = policy("also-to-b", selector="app == 'a'", order=1, egress=[to({"selector": "app == 'b'"})])
FROM_ALL = policy("from-all", selector="all()", ingress=[{"action": "Allow", "source": {"selector": "all()"}}])
BY_PORT = policy(
    "by-port",
    namespace="",
    selector="has(app)",
    egress=[to({"ports": ["http"]}, protocol="TCP"), to({"selector": "app == 'b'", "notPorts": ["dns"]})],
)
BY_NAMESPACE = policy("by-ns", namespace="", namespaceSelector="team == 'red'", types=["Ingress", "Egress"])
BY_ACCOUNT = policy("by-account", serviceAccountSelector="role == 'x'", ingress=[{"action": "Pass"}])
NOT_SELECTED = policy("not", namespace="", selector="app == 'a'", egress=[to({"notSelector": "has(kind)"}, "Deny")])
BY_NAME = policy("by-name", selector="app == 'a'", egress=[to({"domains": ["x.test", "*.y.test"]})])
BY_NAME_NODE = policy(
    "by-name",
    selector="app == 'a'",
    egress=[to({"domains": ["x.test"]})],
    annotations={"dns.tidegate.io/scope": "node", "dns.tidegate.io/ttl-floor": "1m"},
)
BY_SET = policy("by-set", namespace="", selector="app == 'a'", egress=[to({"selector": "kind == 'out'"})])
BY_SERVICE = policy("by-service", selector="app == 'a'", egress=[to({"services": {"name": "web"}})])
FROM_SERVICE = policy(
    "from-service",
    namespace="",
    selector="app == 'a'",
    ingress=[{"action": "Allow", "source": {"services": {"name": "web", "namespace": "ns"}}}],
)
SLICE = endpoint_slice("web-1", "10.0.0.2 192.0.2.7", ports=[("http", "TCP", 8080)])
SLICE_GROWN = endpoint_slice("web-1", "10.0.0.2 192.0.2.7 192.0.2.8", ports=[("http", "TCP", 8080)])
SLICE_OTHER_PORT = endpoint_slice("web-1", "192.0.2.7", ports=[("http", "TCP", 8081), ("dns", "UDP", 53)])
SLICE_UNREADY = endpoint_slice("web-1", "10.0.0.2 192.0.2.7", ports=[("http", "TCP", 8080)], ready=False)
SLICE_OF_OTHER = endpoint_slice("web-1", "10.0.0.2", service="db", ports=[("http", "TCP", 8080)])
SLICE_SECOND = endpoint_slice("web-2", "192.0.2.7 192.0.2.9", ports=[("http", "TCP", 8080)])
SLICE_V6 = endpoint_slice("web-6", "fd00::7", ports=[("http", "TCP", 8080)])
UNTRACKED = policy("to-b", namespace="", doNotTrack=True, applyOnForward=True, ingress=[{"action": "Deny"}])

ETH0 = host_endpoint("eth0", "172.18.0.1", interfaceName="eth0", labels={"app": "b"}, ports=[("http", "TCP", 81)])
ETH0_OPEN = host_endpoint("eth0", "172.18.0.1 fd00::1", interfaceName="eth0", profiles=["p1", "missing"])
ETH0_REMOTE = host_endpoint("eth0", "172.18.0.9", interfaceName="eth0", labels={"app": "b"}, node="node-2")
ALL_INTERFACES = host_endpoint("all", interfaceName="*", labels={"app": "a", "projectcalico.org/namespace": "ns"})


def of_hosts(selector: str = "has(app)", **spec) -> Resource:
    """A policy that may act on host endpoints, with one deny rule for each direction it has."""
    name = "-".join(["of-hosts", *(key.lower() for key in spec if key != "order")])
    return policy(name, namespace="", selector=selector, ingress=[{"action": "Deny"}], **spec)


OF_HOSTS = of_hosts(egress=[to({"selector": "app == 'b'", "ports": ["http"]}, protocol="TCP")])
OF_FORWARDED = of_hosts(applyOnForward=True, order=1)
OF_ARRIVING = of_hosts(applyOnForward=True, preDNAT=True, tier="early")
OF_UNTRACKED = of_hosts(applyOnForward=True, doNotTrack=True)


def staged(kind: str = "StagedNetworkPolicy", name: str = "to-b", **spec) -> Resource:
    """A staged policy of the namespace; by its name, the twin of one of the enforced ones."""
    metadata = {"name": name} if kind == "StagedGlobalNetworkPolicy" else {"name": name, "namespace": "ns"}
    return decode({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})


TO_B_STAGED = staged(selector="app == 'a'", order=1, egress=[to({"domains": ["x.test"]}), {"action": "Deny"}])
TO_B_STAGED_LATE = staged(selector="app == 'a'", order=9, stagedAction="Learn", egress=[to({"selector": "app == 'b'"})])
TO_B_LEAVING = staged(stagedAction="Delete")
STAGED_OF_HOSTS = staged("StagedGlobalNetworkPolicy", "s", selector="has(app)", applyOnForward=True, types=["Egress"])
STAGED_OF_KUBERNETES = staged("StagedKubernetesNetworkPolicy", "k", podSelector={"matchLabels": {"app": "a"}})
OF_HOSTS_LEAVING = staged("StagedGlobalNetworkPolicy", "of-hosts-egress", stagedAction="Delete")

NODE_1 = node(ip="172.18.0.1 fd00::1", labels={"app": "b"})
NODE_1_MOVED = node(ip="172.18.0.7", labels={"app": "a"})
NODE_2 = node("node-2", ip="172.18.0.2", labels={"app": "b"})
AUTOMATIC = automatic_hosts()
BY_TEMPLATE = automatic_hosts(
    createDefaultHostEndpoint="Disabled",
    templates=[{"generateName": "t", "nodeSelector": "app == 'b'", "interfaceCIDRs": ["172.18.0.0/16"]}],
)
WRITTEN_AUTOMATIC = host_endpoint("node-1-auto-hep", "172.18.0.8", interfaceName="eth8")


def to_nodes(**selector):
    return decode(
        {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "to-nodes"},
            "spec": {
                "tier": "Admin",
                "priority": 1,
                "subject": {"namespaces": {}},
                "egress": [{"action": "Deny", "to": [{"nodes": {"matchLabels": selector}}]}],
            },
        }
    )


def zoned(*addresses, zone):
    return node("n1", ip=" ".join(addresses), labels={"zone": zone})


OUT = network_set("out", labels={"kind": "out"}, nets=["192.0.2.0/24", "192.0.2.1", "2001:db8::/32"])
OUT_ONCE = network_set("out", labels={"kind": "out"}, nets=["192.0.2.1"])
OUT_TWICE = network_set("out", labels={"kind": "out"}, nets=["192.0.2.1", "192.0.2.1/32"], domains=["X.test", "x.test"])
OUT_WIDER = network_set("wide", labels={"kind": "out"}, nets=["192.0.0.0/16", "0.0.0.0/0"])
OUT_NAMED = network_set("out", labels={"kind": "out"}, nets=["192.0.2.0/24"], domains=["x.test"])
OUT_NAMED_MORE = network_set("out", labels={"kind": "out"}, domains=["x.test", "z.test"])
OUT_OF_NS = network_set("out", namespace="ns", labels={"kind": "out"}, nets=["10.0.0.0/30"], domains=["n.test"])
P1 = profile("p1", egress=[{"action": "Allow", "destination": {"selector": "app == 'b'"}}], labelsToApply={"app": "b"})
P1_OTHER = profile("p1", ingress=[{"action": "Deny"}], labelsToApply={"extra": ""})
WRITTEN_KNS = profile("kns.ns", egress=[{"action": "Deny"}])


def all_of(*resources: Resource) -> State:
    return state_of(NS, *resources)


SEQUENCES: dict[str, list[State]] = {
    "endpoints come and go": [all_of(A), all_of(A, B), all_of(B), all_of(A, B, C_REMOTE)],
    "an endpoint changes": [all_of(A), all_of(A_DUAL), all_of(A_RELABELLED), all_of(A_REMOTE), all_of(A)],
    "a policy becomes active and idle": [all_of(TO_B), all_of(TO_B, A), all_of(TO_B, A, B), all_of(TO_B, B)],
    "a policy changes": [
        all_of(A, B, TO_B),
        all_of(A, B, TO_B_AND_C),
        all_of(A, B, TO_B_BY_OTHERS),
        all_of(A, B, TO_B_EARLY),
    ],
    "a policy moves": [
        all_of(A, TO_B, ALSO_TO_B, EARLY),
        all_of(A, TO_B_LATE, ALSO_TO_B, EARLY),
        all_of(A, TO_B_EARLY, ALSO_TO_B, EARLY),
        all_of(A, TO_B_BOTH, ALSO_TO_B, EARLY),
    ],
    "two policies share sets": [all_of(A, B, TO_B, ALSO_TO_B), all_of(A, B, ALSO_TO_B), all_of(A, B, TO_B)],
    "tiers change": [
        all_of(A, TO_B_EARLY, ALSO_TO_B),
        all_of(A, TO_B_EARLY, ALSO_TO_B, EARLY),
        all_of(A, TO_B_EARLY, ALSO_TO_B, EARLY_PASS),
    ],
    "labels are inherited": [
        all_of(A, SA, BY_NAMESPACE, BY_ACCOUNT),
        state_of(NS_BLUE, A, SA, BY_NAMESPACE, BY_ACCOUNT),
        state_of(NS, A, BY_NAMESPACE, BY_ACCOUNT),
        state_of(A, SA, BY_NAMESPACE, BY_ACCOUNT),
    ],
    "ports are named": [all_of(A_DUAL, B, BY_PORT), all_of(A_DUAL, B_MOVED, BY_PORT), all_of(A, B, BY_PORT)],
    "addresses are shared": [all_of(B, FROM_ALL, A, A_SAME_ADDRESS), all_of(B, FROM_ALL, A), all_of(B, FROM_ALL)],
    "networks nest": [
        all_of(A, BY_SET, OUT),
        all_of(A, BY_SET, OUT, OUT_WIDER),
        all_of(A, BY_SET, OUT_WIDER),
        all_of(A, BY_SET, OUT, OUT_OF_NS),
    ],
    "a network is named twice": [all_of(A, BY_SET, OUT_TWICE), all_of(A, BY_SET, OUT_ONCE), all_of(A, BY_SET)],
    "network sets get names": [
        all_of(A, BY_SET, OUT),
        all_of(A, BY_SET, OUT_NAMED),
        all_of(A, BY_SET, OUT_NAMED_MORE, OUT_OF_NS),
        all_of(A, BY_SET, OUT_OF_NS),
        all_of(A, BY_SET),
    ],
    "domain rules change": [all_of(A, BY_NAME), all_of(A, BY_NAME_NODE), all_of(A, BY_NAME, BY_NAME_NODE)],
    "negative sets": [all_of(A, NOT_SELECTED, OUT), all_of(A, NOT_SELECTED), all_of(A, NOT_SELECTED, OUT_NAMED)],
    "profiles change": [
        all_of(WRITTEN, B),
        all_of(WRITTEN, B, P1),
        all_of(WRITTEN, B, P1_OTHER),
        all_of(WRITTEN, B, P1, TO_B, TO_B_BY_OTHERS),
    ],
    "a written endpoint replaces its pod": [all_of(A, TO_B), all_of(A, WRITTEN, TO_B), all_of(WRITTEN, TO_B)],
    "a written profile replaces a generated one": [all_of(A), all_of(A, WRITTEN_KNS), state_of(A, WRITTEN_KNS)],
    "host endpoints come and go": [
        all_of(ETH0, OF_HOSTS, FROM_ALL, A, B),
        all_of(ETH0, ALL_INTERFACES, OF_HOSTS, FROM_ALL, A, B),
        all_of(ETH0_REMOTE, ALL_INTERFACES, OF_HOSTS, FROM_ALL, A),
        all_of(ALL_INTERFACES, OF_HOSTS),
    ],
    "host endpoints are asked in four places": [
        all_of(ETH0, A, EARLY, OF_HOSTS, OF_FORWARDED),
        all_of(ETH0, A, EARLY, OF_HOSTS, OF_FORWARDED, OF_ARRIVING, OF_UNTRACKED),
        all_of(ETH0_OPEN, A, OF_ARRIVING, OF_UNTRACKED, P1),
        all_of(A, OF_ARRIVING, OF_UNTRACKED),
        all_of(ETH0, EARLY_PASS, OF_ARRIVING, OF_HOSTS),
    ],
    "hosts are members of sets": [
        all_of(A, BY_PORT, FROM_ALL, ETH0_REMOTE),
        all_of(A, BY_PORT, FROM_ALL, ETH0),
        all_of(A, BY_PORT, FROM_ALL, ETH0_OPEN, P1),
    ],
    "nodes get host endpoints": [
        all_of(NODE_1, NODE_2, OF_HOSTS, FROM_ALL, A),
        all_of(NODE_1, NODE_2, OF_HOSTS, FROM_ALL, A, AUTOMATIC),
        all_of(NODE_1_MOVED, NODE_2, OF_HOSTS, FROM_ALL, A, AUTOMATIC),
        all_of(NODE_1, NODE_2, OF_HOSTS, FROM_ALL, A, BY_TEMPLATE),
        all_of(NODE_1, NODE_2, OF_HOSTS, FROM_ALL, A, AUTOMATIC, WRITTEN_AUTOMATIC),
    ],
    "nodes come, change and go": [
        all_of(A, to_nodes(), zoned("192.0.2.1", zone="a")),
        all_of(A, to_nodes(zone="a"), zoned("192.0.2.1", "192.0.2.2", zone="a"), BY_SET),
        all_of(A, to_nodes(zone="a"), zoned("192.0.2.2", zone="b"), OUT_WIDER),
        all_of(A, zoned("192.0.2.2", zone="b"), NOT_SELECTED),
        all_of(A, to_nodes()),
    ],
    "endpoints of services come, change hands and go": [
        all_of(A, BY_SERVICE, SLICE),
        all_of(A, BY_SERVICE, FROM_SERVICE, SLICE, SLICE_SECOND),
        all_of(A, BY_SERVICE, FROM_SERVICE, SLICE_GROWN, SLICE_SECOND, SLICE_V6),
        all_of(A, BY_SERVICE, FROM_SERVICE, SLICE_OTHER_PORT, SLICE_SECOND),
        all_of(A, BY_SERVICE, FROM_SERVICE, SLICE_UNREADY, SLICE_V6),
        all_of(A, FROM_SERVICE, SLICE_OF_OTHER, SLICE_V6),
        all_of(A, BY_SERVICE, SLICE, SLICE_SECOND),
        all_of(A, SLICE),
    ],
    "policies are staged": [
        all_of(A, B, TO_B, TO_B_STAGED),
        all_of(A, B, TO_B, TO_B_STAGED_LATE, EARLY),
        all_of(A, B, TO_B, TO_B_LEAVING, STAGED_OF_KUBERNETES),
        all_of(A, B, TO_B_LEAVING, BY_NAME_NODE),
        all_of(A, TO_B_STAGED, STAGED_OF_HOSTS, ALL_INTERFACES),
        all_of(ALL_INTERFACES, OF_HOSTS, OF_HOSTS_LEAVING, STAGED_OF_HOSTS),
    ],
    "services and policies of hosts": [all_of(A, BY_SERVICE), all_of(A, UNTRACKED), all_of(A, BY_SERVICE, UNTRACKED)],
}
