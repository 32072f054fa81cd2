"""Imported policies decide as Cilium does: random policies, judged by a reading of Cilium's own rules and by ours."""

import json
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from policy.cilium import import_document
from policy.resources.decode import decode
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session

NAMESPACES = {"ns1": {"team": "a"}, "ns2": {"team": "b"}}
PODS = {
    ("ns1", "web"): ({"app": "web"}, "10.0.0.1"),
    ("ns1", "db"): ({"app": "db"}, "10.0.0.2"),
    ("ns2", "web"): ({"app": "web"}, "10.0.0.3"),
}
OUTSIDE = ("192.0.2.1", "198.51.100.1")
CLUSTER = (ip_network("10.0.0.0/8"),)
PORTS = (80, 443)

APPS = st.sampled_from(["web", "db"])
SELECTORS = st.one_of(
    st.just({}),
    APPS.map(lambda app: {"matchLabels": {"app": app}}),
    st.sampled_from(sorted(NAMESPACES)).map(lambda ns: {"matchLabels": {"k8s:io.kubernetes.pod.namespace": ns}}),
    st.sampled_from(["a", "b"]).map(lambda team: {"matchLabels": {"io.cilium.k8s.namespace.labels.team": team}}),
    APPS.map(lambda app: {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [app]}]}),
)
NETWORKS = st.sampled_from(["192.0.2.0/24", "198.51.100.1/32", "0.0.0.0/0"])


def peers(prefix):
    return st.one_of(
        st.just({}),
        st.lists(SELECTORS, max_size=2).map(lambda found: {f"{prefix}Endpoints": found}),
        st.lists(NETWORKS, min_size=1, max_size=2).map(lambda found: {f"{prefix}CIDR": found}),
        st.sampled_from(["all", "world", "cluster", "none"]).map(lambda entity: {f"{prefix}Entities": [entity]}),
    )


def port_lists():
    port = st.sampled_from(PORTS).map(lambda number: {"port": str(number), "protocol": "TCP"})
    return st.one_of(
        st.just({}), st.lists(port, min_size=1, max_size=2).map(lambda found: {"toPorts": [{"ports": found}]})
    )


def sections(prefix):
    rule = st.tuples(peers(prefix), port_lists()).map(lambda parts: parts[0] | parts[1])
    return st.none() | st.lists(rule, max_size=2)


@st.composite
def policies(draw):
    spec = {"endpointSelector": draw(st.one_of(st.just({}), APPS.map(lambda app: {"matchLabels": {"app": app}})))}
    for name, prefix in (("ingress", "from"), ("ingressDeny", "from"), ("egress", "to"), ("egressDeny", "to")):
        section = draw(sections(prefix))
        if section is not None:
            spec[name] = section
    if draw(st.booleans()):
        spec["enableDefaultDeny"] = {draw(st.sampled_from(["ingress", "egress"])): draw(st.booleans())}
    namespace = draw(st.sampled_from([None, *NAMESPACES]))
    kind = "CiliumNetworkPolicy" if namespace else "CiliumClusterwideNetworkPolicy"
    metadata = {"name": "p"} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "cilium.io/v2", "kind": kind, "metadata": metadata, "spec": spec}


# --- Cilium's reading ---


def selects(selector, identity, namespace):
    """Whether a selector in a policy of the namespace means the pod."""
    where, name = identity
    labels = {"app": PODS[where, name][0]["app"], "k8s:io.kubernetes.pod.namespace": where}
    labels["io.cilium.k8s.namespace.labels.team"] = NAMESPACES[where]["team"]
    wanted = selector.get("matchLabels", {})
    says_where = any("namespace" in key for key in wanted)
    if namespace and not says_where and where != namespace:
        return False
    expressions = selector.get("matchExpressions", [])
    return all(labels[key] == value for key, value in wanted.items()) and not any(
        labels[each["key"]] in each["values"] for each in expressions
    )


def is_peer(rule, prefix, party, namespace):
    if f"{prefix}Endpoints" in rule:
        return isinstance(party, tuple) and any(selects(each, party, namespace) for each in rule[f"{prefix}Endpoints"])
    if f"{prefix}CIDR" in rule:
        return not isinstance(party, tuple) and any(
            ip_address(party) in ip_network(each) for each in rule[f"{prefix}CIDR"]
        )
    if f"{prefix}Entities" in rule:
        (entity,) = rule[f"{prefix}Entities"]
        return {"all": True, "none": False, "cluster": isinstance(party, tuple), "world": isinstance(party, str)}[
            entity
        ]
    return "toPorts" in rule


def applies(rule, prefix, party, port, namespace):
    ports = [int(each["port"]) for item in rule.get("toPorts", []) for each in item["ports"]]
    return is_peer(rule, prefix, party, namespace) and (not ports or port in ports)


def allows(documents, direction, subject, party, port):
    prefix = "from" if direction == "ingress" else "to"
    is_closed = is_allowed = False
    for document in documents:
        spec, namespace = document["spec"], document["metadata"].get("namespace")
        if not selects(spec["endpointSelector"], subject, namespace):
            continue
        given = spec.get(direction) or [], spec.get(f"{direction}Deny") or []
        if any(applies(rule, prefix, party, port, namespace) for rule in given[1]):
            return False
        is_allowed |= any(applies(rule, prefix, party, port, namespace) for rule in given[0])
        is_closed |= spec.get("enableDefaultDeny", {}).get(direction, any(given))
    return is_allowed or not is_closed


# --- ours ---


def resources(documents):
    yield from (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in NAMESPACES.items()
    )
    for (namespace, name), (labels, address) in PODS.items():
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        status = {"podIPs": [{"ip": address}]}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n"}, "status": status}
    made = {}
    for number, document in enumerate(documents):
        document["metadata"]["name"] = f"p{number}"
        for became in import_document(document, CLUSTER).documents:
            made[became["kind"], became["metadata"].get("namespace"), became["metadata"]["name"]] = became
    yield from made.values()


def probe(session, source, destination, port):
    parties = [
        {"pod": "/".join(party)} if isinstance(party, tuple) else {"ip": party} for party in (source, destination)
    ]
    text = {"id": 1, "from": parties[0], "to": parties[1], "protocol": "TCP", "port": port}
    (answer,) = session.answers(parse_probe(json.dumps(text))).values()
    return answer.is_allowed


@settings(max_examples=120, deadline=None)
@given(st.lists(policies(), max_size=3))
def test_imported_policies_decide_as_they_did(documents):
    known = [decode(document) for document in resources(documents)]
    session = Session(known, Roster(known), (), Oracle.EVALUATE)
    for pod in PODS:
        for party in (*PODS, *OUTSIDE):
            if party == pod:
                continue
            for port in PORTS:
                out = allows(documents, "egress", pod, party, port)
                into = not isinstance(party, tuple) or allows(documents, "ingress", party, pod, port)
                assert probe(session, pod, party, port) == (out and into), (pod, party, port)
                if isinstance(party, str):
                    assert probe(session, party, pod, port) == allows(documents, "ingress", pod, party, port)
