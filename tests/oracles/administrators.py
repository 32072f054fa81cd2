"""Random policies of administrators, in all three kinds, and the nodes that they may be about."""

from random import Random

from tests.oracles import vocabulary as words
from tests.oracles.documents import Document, resource, some

GROUP = "policy.networking.k8s.io"
NODE_SELECTORS = [
    {},
    {"matchLabels": {"zone": "a"}},
    {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]},
    {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
]
NAMESPACE_SELECTORS = [
    {},
    {"matchLabels": {"team": "red"}},
    {"matchLabels": {"kubernetes.io/metadata.name": "dev"}},
    {"matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}]},
]
POD_SELECTORS = [
    {},
    {"matchLabels": {"app": "web"}},
    {"matchExpressions": [{"key": "role", "operator": "In", "values": ["front", "back"]}]},
]


def documents(chance: Random) -> list[Document]:
    """Nodes always; policies of administrators in about half of all worlds."""
    made = nodes(chance)
    for index in range(chance.choice([0, 0, 1, 2, 3])):
        made.append(chance.choice([_cluster_policy, _cluster_policy, _admin_policy])(chance, f"admin{index}"))
    if chance.random() < 0.15:
        made.append(_baseline_policy(chance))
    return made


def nodes(chance: Random) -> list[Document]:
    """Their addresses are those of the outside, and such as workloads, sets and names have, too."""
    made = []
    for name, labels in (("far1", {"zone": "a"}), ("far2", {"zone": "b"}), ("far3", {})):
        addresses = [*some(chance, words.OUTSIDE[4], 0, 1), *some(chance, words.OUTSIDE[6], 0, 1)]
        node = resource("Node", name, labels=labels) | {"apiVersion": "v1"}
        node["status"] = {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]}
        made.append(node)
    return made


def _cluster_policy(chance: Random, name: str) -> Document:
    spec = {
        "tier": chance.choice(["Admin", "Baseline"]),
        "priority": chance.choice([0, 5, 5, 1000]),
        "subject": _selection(chance),
        **_rules(chance, ["Accept", "Deny", "Pass"], "protocols", _protocol),
    }
    return resource("ClusterNetworkPolicy", name, spec) | {"apiVersion": f"{GROUP}/v1alpha2"}


def _admin_policy(chance: Random, name: str) -> Document:
    spec = {
        "priority": chance.choice([0, 5, 5, 1000]),
        "subject": _selection(chance),
        **_rules(chance, ["Allow", "Deny", "Pass"], "ports", _port),
    }
    return resource("AdminNetworkPolicy", name, spec) | {"apiVersion": f"{GROUP}/v1alpha1"}


def _baseline_policy(chance: Random) -> Document:
    rules = _rules(chance, ["Allow", "Deny"], "ports", _port, has_names=False)
    made = resource("BaselineAdminNetworkPolicy", "default", {"subject": _selection(chance), **rules})
    return made | {"apiVersion": f"{GROUP}/v1alpha1"}


def _selection(chance: Random) -> Document:
    if chance.random() < 0.5:
        return {"namespaces": chance.choice(NAMESPACE_SELECTORS)}
    selectors = {"namespaceSelector": chance.choice(NAMESPACE_SELECTORS), "podSelector": chance.choice(POD_SELECTORS)}
    return {"pods": selectors}


def _rules(chance: Random, actions: list[str], field: str, port, *, has_names: bool = True) -> Document:
    made: Document = {}
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        if chance.random() < 0.3:
            continue
        made[direction] = []
        for _ in range(chance.randint(1, 3)):
            action = chance.choice(actions)
            is_named = has_names and action in ("Accept", "Allow")
            peer = _selection if peers == "from" else _destination_with_names if is_named else _destination
            rule: Document = {"action": action, peers: [peer(chance) for _ in range(chance.randint(1, 2))]}
            if chance.random() < 0.4:
                rule[field] = [port(chance) for _ in range(chance.randint(1, 3))]
            made[direction].append(rule)
    return made


def _destination_with_names(chance: Random) -> Document:
    if chance.random() < 0.25:
        names = [name for name in words.DOMAINS if "*" not in name or name.startswith("*.")]
        return {"domainNames": some(chance, names, 1, 2)}
    return _destination(chance)


def _destination(chance: Random) -> Document:
    draw = chance.random()
    if draw < 0.3:
        return {"nodes": chance.choice(NODE_SELECTORS)}
    if draw < 0.6:
        return {"networks": some(chance, [*words.NETS[4], *words.NETS[6], *words.EVERYTHING.values()], 1, 3)}
    return _selection(chance)


def _protocol(chance: Random) -> Document:
    if chance.random() < 0.2:
        return {"destinationNamedPort": chance.choice(words.PORT_NAMES)}
    name = chance.choice(["tcp", "udp", "sctp"])
    port = chance.choice(words.PORTS)
    given = chance.choice([{"number": port}, {"range": {"start": port, "end": port + chance.choice([0, 1, 1000])}}])
    return {name: {"destinationPort": given}} if chance.random() < 0.8 else {name: {}}


def _port(chance: Random) -> Document:
    protocol, port = chance.choice(list(words.WITH_PORTS)), chance.choice(words.PORTS)
    return chance.choice(
        [
            {"portNumber": {"protocol": protocol, "port": port}},
            {"portRange": {"protocol": protocol, "start": port, "end": port + chance.choice([0, 1, 1000])}},
            {"namedPort": chance.choice(words.PORT_NAMES)},
        ]
    )
