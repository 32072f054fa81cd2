"""Random resources, as the documents people write: tiers, policies, sets, profiles, namespaces, accounts and workloads.

Every document is valid, so what decides is never that one of them was thrown away.
"""

from ipaddress import ip_network
from random import Random
from typing import Any

from tests.oracles import vocabulary as words

Document = dict[str, Any]

CALICO = "projectcalico.org/v3"
HOST_STAGES = (
    {"applyOnForward": True},
    {"applyOnForward": True, "preDNAT": True},
    {"applyOnForward": True, "doNotTrack": True},
)
"""Where policies of host endpoints act beside the usual place."""
_NO_HOST_HAS = ("serviceAccountSelector", "namespaceSelector")


def some(chance: Random, options, least: int = 1, most: int = 3) -> list:
    """A few different ones of the options."""
    options = list(options)
    return chance.sample(options, min(len(options), chance.randint(least, most)))


def resource(kind: str, name: str, spec: Document | None = None, *, namespace: str = "", **metadata: Any) -> Document:
    """A document; core kinds have no group."""
    core = kind in {"Namespace", "ServiceAccount", "Pod", "Node"}
    made: Document = {"apiVersion": "v1" if core else CALICO, "kind": kind, "metadata": {"name": name, **metadata}}
    if namespace:
        made["metadata"]["namespace"] = namespace
    if spec is not None:
        made["spec"] = spec
    return made


# --- Who is there ---


def namespaces() -> list[Document]:
    """Always the same ones: interest is in what selects them."""
    return [resource("Namespace", name, labels=labels) for name, labels in words.NAMESPACES.items()]


def accounts() -> list[Document]:
    """Service accounts; two of one name in different namespaces."""
    return [
        resource("ServiceAccount", name, namespace=namespace, labels=labels)
        for namespace, name, labels in words.ACCOUNTS
    ]


def own_labels(chance: Random) -> dict[str, str]:
    """Labels of a workload or set."""
    keys = some(chance, words.LABELS, 0, 3)
    return {key: chance.choice(words.LABELS[key]) for key in keys}


def workload(chance: Random, index: int, node: str) -> Document:
    """A pod or a workload endpoint with an address in one family or both."""
    namespace = chance.choice(list(words.NAMESPACES))
    addresses = [f"10.65.0.{index + 2}", f"fd00:65::{index + 2:x}"]
    if chance.random() < 0.3:
        addresses.remove(chance.choice(addresses))
    account = chance.choice([name for space, name, _ in words.ACCOUNTS if space == namespace] or [""])
    make = _pod if chance.random() < 0.4 else _endpoint
    return make(chance, f"w{index}", namespace, node, addresses, account if chance.random() < 0.6 else "")


def _pod(chance: Random, name: str, namespace: str, node: str, addresses: list[str], account: str) -> Document:
    ports = [
        {"name": item["name"], "protocol": item["protocol"], "containerPort": item["port"]} for item in _ports(chance)
    ]
    spec = {"nodeName": node, "containers": [{"name": "main", "image": "none", "ports": ports}]}
    if account:
        spec["serviceAccountName"] = account
    made = resource("Pod", name, spec, namespace=namespace, labels=own_labels(chance))
    made["status"] = {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]}
    return made


def _endpoint(chance: Random, name: str, namespace: str, node: str, addresses: list[str], account: str) -> Document:
    spec = {
        "orchestrator": "k8s",
        "workload": name,
        "node": node,
        "pod": name,
        "endpoint": "eth0",
        "interfaceName": f"cali{name}",
        "ipNetworks": [f"{address}/{32 if '.' in address else 128}" for address in addresses],
        "profiles": _profiles_of(chance, namespace),
        "ports": _ports(chance),
    }
    if account:
        spec["serviceAccountName"] = account
    return resource("WorkloadEndpoint", name, spec, namespace=namespace, labels=own_labels(chance))


def limit(chance: Random, workload: Document) -> None:
    """Gives some workloads limits that no world reaches: they stand in every packet's way and change no verdict."""
    if chance.random() < 0.5:
        return
    names = [f"{way}{what}" for way in ("ingress", "egress") for what in ("PacketRate", "MaxConnections")]
    asked = {name: chance.randint(5000, 10000) for name in some(chance, names, 0, 4)}
    asked |= {name.replace("Rate", "Burst"): 5000 for name in asked if name.endswith("Rate")}
    ours = {f"qos.tidegate.io/{way}ConnectionRate": "10k" for way in some(chance, ("ingress", "egress"), 0, 2)}
    if workload["kind"] == "Pod":
        ours |= {f"qos.projectcalico.org/{name}": str(number) for name, number in asked.items()}
    else:
        workload["spec"]["qosControls"] = asked
    workload["metadata"]["annotations"] = ours


def _profiles_of(chance: Random, namespace: str) -> list[str]:
    """Mostly what a pod would have; sometimes others, none, or one that does not exist."""
    if chance.random() < 0.6:
        return [f"kns.{namespace}"]
    return some(chance, [f"kns.{namespace}", "mixed", "quiet", "missing", "projectcalico-default-allow"], 0, 3)


def _ports(chance: Random) -> list[Document]:
    return [
        {"name": name, "protocol": chance.choice(["TCP", "TCP", "UDP", "SCTP"]), "port": chance.choice(words.PORTS)}
        for name in some(chance, words.PORT_NAMES[:3], 0, 2)
    ]


def network_sets(chance: Random) -> list[Document]:
    """Sets with networks of both families that overlap each other and the workloads, and with domains."""
    made = []
    for index in range(chance.randint(1, 3)):
        nets = [net for family in (4, 6) for net in some(chance, [*words.NETS[family], words.EVERYTHING[family]], 0, 3)]
        spec: Document = {"nets": nets}
        if chance.random() < 0.4:
            spec["allowedEgressDomains"] = some(chance, words.DOMAINS, 1, 2)
        labels = {"kind": "outside", **own_labels(chance)}
        if chance.random() < 0.5:
            made.append(resource("GlobalNetworkSet", f"set{index}", spec, labels=labels))
        else:
            namespace = chance.choice(list(words.NAMESPACES))
            made.append(resource("NetworkSet", f"set{index}", spec, namespace=namespace, labels=labels))
    return made


def host_endpoints(chance: Random, nodes: tuple[str, ...]) -> list[Document]:
    """Interfaces of nodes: named, for all others, by address; some compete for one, some have no policy at all."""
    return [
        _host_endpoint(chance, f"h{index}", chance.choice(nodes)) for index in range(chance.choice([0, 0, 1, 2, 3]))
    ]


def automatic_hosts(chance: Random, nodes: tuple[str, ...]) -> list[Document]:
    """Sometimes nodes, and the configuration by which they get host endpoints."""
    if chance.random() > 0.2:
        return []
    template: Document = {"generateName": "t", "nodeSelector": chance.choice(["", "app == 'web'"]), "labels": {}}
    if chance.random() < 0.5:
        template["interfaceCIDRs"] = ["172.18.0.0/24"]
    if chance.random() < 0.5:
        template["labels"] = own_labels(chance)
    wanted = {
        "autoCreate": "Enabled",
        "createDefaultHostEndpoint": chance.choice(["Enabled", "Disabled"]),
        "templates": [template],
    }
    controllers = {"controllers": {"node": {"hostEndpoint": wanted}}}
    made = [resource("KubeControllersConfiguration", "default", controllers)]
    for node in nodes:
        addresses = [{"type": "InternalIP", "address": address} for address in words.NODE_ADDRESSES.values()]
        made.append(resource("Node", node, labels=own_labels(chance)) | {"status": {"addresses": addresses}})
    return made


def _host_endpoint(chance: Random, name: str, node: str) -> Document:
    spec: Document = {"node": node}
    if chance.random() < 0.75:
        spec["interfaceName"] = chance.choice(["eth0", "eth0", "eth1", "*", "*"])
    if "interfaceName" not in spec or chance.random() < 0.5:
        spec["expectedIPs"] = some(chance, [*words.NODE_ADDRESSES.values(), "172.18.0.2", "fd00:18::2"], 1, 3)
    if chance.random() < 0.6:
        spec["profiles"] = some(chance, ["mixed", "quiet", "missing", "projectcalico-default-allow"], 1, 2)
    spec["ports"] = _ports(chance)
    return resource("HostEndpoint", name, spec, labels=own_labels(chance))


def profiles(chance: Random) -> list[Document]:
    """Profiles that workload endpoints may name beside those of their namespace."""
    mixed = {
        "ingress": rules(chance, "ingress"),
        "egress": rules(chance, "egress"),
        "labelsToApply": own_labels(chance),
    }
    return [resource("Profile", "mixed", mixed), resource("Profile", "quiet", {"labelsToApply": {"role": "back"}})]


# --- What they may do ---


def tiers(chance: Random) -> list[Document]:
    """Tiers beside the reserved ones, with orders that tie, precede and follow the default tier's."""
    return [
        resource(
            "Tier",
            name,
            {"order": chance.choice([1, 10, 10, 2_000_000]), "defaultAction": chance.choice(["Deny", "Pass"])},
        )
        for name in some(chance, ["security", "apps"], chance.choice([0, 1, 2, 2]), 2)
    ]


def policies(chance: Random, known_tiers: list[str]) -> list[Document]:
    """Policies of all kinds, some of which select nobody, govern a direction without rules, or tie in order."""
    return [policy(chance, f"p{index}", known_tiers) for index in range(chance.randint(1, 8))]


def policy(chance: Random, name: str, known_tiers: list[str]) -> Document:
    """One policy, of whatever kind."""
    if chance.random() < 0.15:
        return _kubernetes_policy(chance, name)
    return _policy(chance, name, chance.choice(known_tiers))


def _kubernetes_policy(chance: Random, name: str) -> Document:
    """Kubernetes' own NetworkPolicy, which stands in the default tier."""
    spec: Document = {"podSelector": _label_selector(chance), "policyTypes": some(chance, ["Ingress", "Egress"], 1, 2)}
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        if chance.random() < 0.7:
            spec[direction] = [_kubernetes_rule(chance, peers) for _ in range(chance.randint(0, 3))]
    namespace = chance.choice(list(words.NAMESPACES))
    made = resource("NetworkPolicy", name, spec, namespace=namespace)
    return made | {"apiVersion": "networking.k8s.io/v1"}


def _kubernetes_rule(chance: Random, peers: str) -> Document:
    rule: Document = {}
    if chance.random() < 0.7:
        rule[peers] = [_peer(chance) for _ in range(chance.randint(1, 3))]
    if chance.random() < 0.6:
        rule["ports"] = [_kubernetes_port(chance) for _ in range(chance.randint(1, 3))]
    return rule


def _kubernetes_port(chance: Random) -> Document:
    """A port, a range, a name, or all ports of a protocol."""
    made: Document = {"protocol": chance.choice(list(words.WITH_PORTS))} if chance.random() < 0.8 else {}
    if chance.random() < 0.9:
        made["port"] = chance.choice([*words.PORTS, *words.PORT_NAMES[:3]])
    if isinstance(made.get("port"), int) and chance.random() < 0.3:
        made["endPort"] = made["port"] + chance.choice([0, 1, 400])
    return made


def _peer(chance: Random) -> Document:
    if chance.random() < 0.3:
        family = chance.choice([4, 6])
        return {"ipBlock": _block(chance, chance.choice([*words.NETS[family], words.EVERYTHING[family]]), family)}
    peer: Document = {}
    if chance.random() < 0.7:
        peer["podSelector"] = _label_selector(chance)
    if chance.random() < 0.5 or not peer:
        peer["namespaceSelector"] = chance.choice([{}, {"matchLabels": {"team": "red"}}])
    return peer


def _block(chance: Random, cidr: str, family: int) -> Document:
    """A network, sometimes without some of the networks within it."""
    outer = ip_network(cidr)
    within = [net for net in words.NETS[family] if net != cidr and ip_network(net).subnet_of(outer)]
    if not within or chance.random() < 0.5:
        return {"cidr": cidr}
    return {"cidr": cidr, "except": some(chance, within, 1, 2)}


def _label_selector(chance: Random) -> Document:
    key = chance.choice(["app", "role"])
    values = words.LABELS[key]
    return chance.choice(
        [
            {},
            {"matchLabels": {key: values[0]}},
            {"matchExpressions": [{"key": key, "operator": "NotIn", "values": values[:1]}]},
            {"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]},
        ]
    )


def _policy(chance: Random, name: str, tier: str) -> Document:
    is_global = chance.random() < 0.5
    spec: Document = {"tier": tier, "selector": chance.choice(["", "all()", *words.SELECTORS])}
    if chance.random() < 0.7:
        spec["order"] = chance.choice([-1, 1, 1, 2.5, 100])
    if chance.random() < 0.2:
        spec["serviceAccountSelector"] = chance.choice(words.ACCOUNT_SELECTORS)
    if is_global and chance.random() < 0.3:
        spec["namespaceSelector"] = chance.choice([item for item in words.NAMESPACE_SELECTORS if item != "global()"])
    for direction in ("ingress", "egress"):
        if chance.random() < 0.7:
            spec[direction] = rules(chance, direction)
            if not is_global:
                _leave_out_namespaces(chance, spec[direction])
    if chance.random() < 0.4:
        spec["types"] = some(chance, ["Ingress", "Egress"], 1, 2)
    if is_global:
        spec |= chance.choices([{}, *HOST_STAGES], [50, 20, 15, 15])[0]
    if "applyOnForward" in spec and chance.random() < 0.6:
        spec = {key: value for key, value in spec.items() if key not in _NO_HOST_HAS} | {"selector": "all()"}
    if spec.get("preDNAT"):
        spec.pop("egress", None)
        spec["types"] = ["Ingress"]
    annotations = {key: chance.choice(values) for key, values in words.OPTIONS.items() if chance.random() < 0.2}
    if is_global:
        return resource("GlobalNetworkPolicy", name, spec, annotations=annotations)
    namespace = chance.choice(list(words.NAMESPACES))
    return resource("NetworkPolicy", name, spec, namespace=namespace, annotations=annotations)


def _leave_out_namespaces(chance: Random, made: list[Document]) -> None:
    """In a namespaced policy a service may be one of its own namespace."""
    for rule in made:
        for side in ("source", "destination"):
            if "services" in rule.get(side, {}) and chance.random() < 0.4:
                del rule[side]["services"]["namespace"]


def rules(chance: Random, direction: str) -> list[Document]:
    """A few rules for one direction."""
    return [_rule(chance, direction) for _ in range(chance.randint(0, 4))]


def _rule(chance: Random, direction: str) -> Document:
    action = chance.choices(["Allow", "Deny", "Pass", "Log"], [45, 25, 20, 10])[0]
    made: Document = {"action": action}
    family = chance.choice([4, 6])
    has_nets = chance.random() < 0.5
    if chance.random() < (0.2 if has_nets else 0.1):
        made["ipVersion"] = family
    _protocol(chance, made, family)
    made |= {
        side: entity
        for side in ("source", "destination")
        if (entity := _entity(chance, made, family if has_nets else None))
    }
    if direction == "egress" and action == "Allow" and chance.random() < 0.3:
        ports = {key: value for key, value in made.get("destination", {}).items() if key in ("ports", "notPorts")}
        made["destination"] = {"domains": some(chance, words.DOMAINS, 1, 2), **ports}
    elif chance.random() < 0.1:
        namespace, name = chance.choice(words.SERVICES)
        made["destination" if direction == "egress" else "source"] = {
            "services": {"name": name, "namespace": namespace}
        }
    _without_effect_here(chance, made, direction)
    return made


def _without_effect_here(chance: Random, made: Document, direction: str) -> None:
    """HTTP criteria are for another layer, annotations for people: neither may change a verdict."""
    is_tcp = made.get("protocol") in (None, "TCP", 6)
    if direction == "ingress" and made["action"] == "Allow" and is_tcp and chance.random() < 0.1:
        made["http"] = {"methods": ["GET"], "paths": [{"prefix": "/api"}]}
    if chance.random() < 0.05:
        made["metadata"] = {"annotations": {"why": "because"}}


def _protocol(chance: Random, made: Document, family: int) -> None:
    draw = chance.random()
    if draw < 0.35:
        name = chance.choice(list(words.WITH_PORTS))
        made["protocol"] = chance.choice([name, name, words.WITH_PORTS[name]])
    elif draw < 0.5:
        _icmp(chance, made, family)
    elif draw < 0.55:
        made["protocol"] = chance.choice(["UDPLite", words.OTHER_PROTOCOLS["GRE"]])
    if chance.random() < 0.1:
        made["notProtocol"] = chance.choice([*words.WITH_PORTS, "UDPLite", 47])


def _icmp(chance: Random, made: Document, family: int) -> None:
    made["protocol"] = chance.choice([["ICMP", 1], ["ICMPv6", 58]][family == 6])
    if "ipVersion" in made:
        made["ipVersion"] = family
    for key in ("icmp", "notICMP"):
        if chance.random() < 0.5:
            made[key] = {"type": chance.choice(words.ICMP_TYPES[family])}
            if chance.random() < 0.7:
                made[key]["code"] = chance.choice(words.ICMP_CODES)


def _entity(chance: Random, made: Document, family: int | None) -> Document:
    entity: Document = {}
    if family is not None and not _is_icmp_of_other_family(made, family):
        if chance.random() < 0.5:
            entity["nets"] = some(chance, [*words.NETS[family], words.EVERYTHING[family]], 1, 3)
        if chance.random() < 0.25:
            entity["notNets"] = some(chance, words.NETS[family], 1, 2)
    if chance.random() < 0.3:
        entity["selector"] = chance.choice(words.SELECTORS)
    if chance.random() < 0.15:
        entity["notSelector"] = chance.choice(words.SELECTORS)
    if chance.random() < 0.2:
        entity["namespaceSelector"] = chance.choice(words.NAMESPACE_SELECTORS)
    if chance.random() < 0.1:
        entity["serviceAccounts"] = _accounts(chance)
    return entity | _rule_ports(chance, made)


def _is_icmp_of_other_family(made: Document, family: int) -> bool:
    implied = {"ICMP": 4, 1: 4, "ICMPv6": 6, 58: 6}.get(made.get("protocol"))
    return implied not in (None, family)


def _accounts(chance: Random) -> Document:
    made: Document = {}
    if chance.random() < 0.6:
        made["names"] = some(chance, ["web", "db"], 1, 2)
    if chance.random() < 0.5:
        made["selector"] = chance.choice(words.ACCOUNT_SELECTORS)
    return made


def _rule_ports(chance: Random, made: Document) -> Document:
    """Numbers only where the protocol has ports; names also without a protocol."""
    protocol = made.get("protocol")
    has_ports = protocol in words.WITH_PORTS or protocol in words.WITH_PORTS.values()
    pool: list = [*words.PORTS, *words.RANGES] if has_ports else []
    if has_ports or protocol is None:
        pool += words.PORT_NAMES
    entity: Document = {}
    if pool and chance.random() < (0.45 if has_ports else 0.15):
        entity["ports"] = some(chance, pool, 1, 4)
    if pool and chance.random() < 0.15:
        entity["notPorts"] = some(chance, pool, 1, 3)
    return entity
