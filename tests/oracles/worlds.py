"""Whole random worlds, each from one number: resources, learned names, and packets that look for trouble in them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

import yaml

from tests.oracles import administrators, documents, naming, services, staged
from tests.oracles import vocabulary as words
from tests.oracles.documents import Document

Probe = dict[str, Any]
"""A packet as `tidegate eval` reads it."""

MORE = {"administrators": administrators.documents, "services": services.documents, "naming": naming.documents}
"""Further documents of a world, by what they are about: each with chances of its own, so that one more maker does not
change what the others make. To add a kind, add its maker here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a verdict depends on."""

    seed: int
    documents: tuple[Document, ...]
    names: tuple[dict[str, Any], ...] = ()
    """Lines of `tidegate eval --names`."""
    probes: tuple[Probe, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """The world as files would hold it, for the message of a failing test."""
        return "\n".join(
            [
                f"# seed {self.seed}",
                yaml.safe_dump_all(self.documents, sort_keys=False),
                "# learned names: "
                + ", ".join(
                    f"{n['endpoint']}: {n['name']} = {n['ip']}{' past' * n.get('past', False)}" for n in self.names
                ),
                *(f"# probe: {probe}" for probe in self.probes),
            ]
        )


def make_world(seed: int, probes: int = 40, nodes: tuple[str, ...] = words.NODES) -> World:
    """The world of this number: the same number is the same world until the generator changes."""
    chance = Random(seed)
    workloads = [documents.workload(chance, index, chance.choice(nodes)) for index in range(chance.randint(3, 6))]
    limiting = Random(f"limits of {seed}")
    for workload in workloads:
        documents.limit(limiting, workload)
    hosts = documents.host_endpoints(chance, nodes)
    automatic = documents.automatic_hosts(chance, nodes)
    made_tiers = documents.tiers(chance)
    known = ["default", "default", *(tier["metadata"]["name"] for tier in made_tiers)]
    outside = [*documents.network_sets(chance), *documents.profiles(chance)]
    enforced = documents.policies(chance, known)
    grace = Random(f"grace of {seed}")
    naming.give_grace(grace, enforced)
    everything = (
        *documents.namespaces(),
        *documents.accounts(),
        *workloads,
        *hosts,
        *automatic,
        *outside,
        *made_tiers,
        *enforced,
        *(made for about, make in MORE.items() for made in make(Random(f"{about} of {seed}"))),
    )
    on_trial = staged.documents(Random(f"staged of {seed}"), known, enforced)
    names = naming.some_past(grace, _learned(chance, workloads))
    rules = _rules_of(everything)
    made = [_probe(chance, number, workloads, rules, hosts, everything) for number in range(probes)]
    if rules := _rules_of(on_trial):  # a fourth more, from other dice: worlds without trials stay what they were
        chance = Random(f"probes of trials of {seed}")
        numbers = range(probes, probes + probes // 4)
        made += [_probe(chance, number, workloads, rules, hosts, everything) for number in numbers]
    told, asked = _by_name(grace, len(made), workloads, naming.naming_rules(everything), hosts)
    return World(seed=seed, documents=(*everything, *on_trial), names=(*names, *told), probes=(*made, *asked))


def _rules_of(policies: Iterable[Document]) -> list[Document]:
    """The rules that probes are aimed at, the rare ones more often."""
    return [
        rule
        for document in policies
        for direction in ("ingress", "egress")
        for rule in document.get("spec", {}).get(direction, ())
        for _ in range(4 if _is_rare(rule) else 1)
    ]


def addresses_of(workload: Document) -> list[str]:
    """The addresses of a pod or workload endpoint."""
    if workload["kind"] == "Pod":
        return [item["ip"] for item in workload["status"]["podIPs"]]
    return [net.split("/")[0] for net in workload["spec"]["ipNetworks"]]


def name_of(workload: Document) -> str:
    """`namespace/name`."""
    return f"{workload['metadata']['namespace']}/{workload['metadata']['name']}"


def _learned(chance: Random, workloads: list[Document]) -> tuple[dict[str, str], ...]:
    """Names that some workloads know: an address under two names, a name with two addresses, a pod's address too."""
    made = []
    for workload in workloads:
        for name in documents.some(chance, words.NAMES, 0, 3):
            family = chance.choice([4, 6])
            pool = [*words.OUTSIDE[family], *(a for w in workloads for a in addresses_of(w) if _version(a) == family)]
            made += [
                {"endpoint": name_of(workload), "name": name, "ip": ip} for ip in documents.some(chance, pool, 1, 2)
            ]
    return tuple(made)


def _by_name(
    chance: Random, first: int, workloads: list[Document], rules: list[Document], hosts: list[Document]
) -> tuple[tuple[dict[str, Any], ...], tuple[Probe, ...]]:
    """Names told to workloads, live or past, and packets to their addresses: aimed at rules that allow such names."""
    told, asked = [], []
    for number in range(first, first + 12 if rules else first):
        rule, workload = chance.choice(rules), chance.choice(workloads)
        family = _family(rule) or _version(chance.choice(addresses_of(workload)))
        able = [net for net in words.OUTSIDE[family] if _is_ordinary(net)]
        pattern = chance.choice(rule["destination"]["domains"])
        name, ip = pattern.replace("*", chance.choice(["a", "b"])), chance.choice(able)
        told += naming.some_past(chance, ({"endpoint": name_of(workload), "name": name, "ip": ip},))
        if hosts and chance.random() < 0.3:  # its own processes know it as well
            node = chance.choice(hosts)["spec"]["node"]
            told += naming.some_past(chance, ({"endpoint": f"host:{node}", "name": name, "ip": ip},))
            probe = {"id": str(number), "from": {"host": node, "interface": "eth0"}, "to": {"ip": ip}, "family": family}
            asked.append(probe | _protocol(chance, family, rule))
        elif any(_version(address) == family for address in addresses_of(workload)):
            probe = {"id": str(number), "from": {"pod": name_of(workload)}, "to": {"ip": ip}, "family": family}
            asked.append(probe | _protocol(chance, family, rule))
    return tuple(told), tuple(asked)


def _probe(
    chance: Random,
    number: int,
    workloads: list[Document],
    rules: list[Document],
    hosts: list[Document],
    everything: tuple[Document, ...],
) -> Probe:
    """A packet from somewhere to somewhere; half of them are aimed at what some rule of the world is about."""
    rule = chance.choice(rules) if rules and chance.random() < 0.5 else {}
    family = _family(rule) or chance.choice([4, 6])
    one, other = _party(chance, workloads, family, 0.85), _party(chance, workloads, family, 0.55)
    if chance.random() < (0.35 if hosts else 0.06):
        other = _host(chance, family, hosts)
        if chance.random() < 0.5:
            one = {"ip": _somewhere(chance, family)}
    elif chance.random() < 0.5 and hosts:
        one = one | _way(chance)
    if "ip" in one and "ip" in other and "host" not in other:
        one = _workload(chance, workloads, family) or one
    source, destination = (one, other) if chance.random() < 0.65 else (other, one)
    probe = {"id": str(number), "from": source, "to": destination, "family": family}
    probe |= _protocol(chance, family, rule)
    return services.aimed(chance, _at_an_edge(chance, probe, rule), rule, everything)


def _at_an_edge(chance: Random, probe: Probe, rule: Document) -> Probe:
    """The probe, now and then from or to the edge of a network of the rule: just within it, or just outside."""
    side, key, other = chance.choice([("source", "from", "to"), ("destination", "to", "from")])
    entity = rule.get(side, {})
    nets = [ip_network(net) for net in (*entity.get("nets", ()), *entity.get("notNets", ()))]
    nets = [net for net in nets if net.version == probe["family"]]
    if not nets or "pod" not in probe[other] or "host" in probe[key] or chance.random() > 0.4:
        return probe
    net = chance.choice(nets)
    edge = int(chance.choice([net[0], net[-1]])) + chance.choice([0, 0, -1, 1])
    if not 0 < edge < 1 << net.max_prefixlen or not _is_ordinary(address := str(type(net[0])(edge))):
        return probe
    return {**probe, key: {"ip": address}}


def _is_rare(rule: Document) -> bool:
    """Whether the rule says something that few packets would meet by chance."""
    entities = [rule.get(side, {}) for side in ("source", "destination")]
    is_unusual = any(key in entity for entity in entities for key in ("notPorts", "notNets", "services"))
    return is_unusual or any(key in rule for key in ("icmp", "notICMP", "notProtocol"))


def _family(rule: Document) -> int | None:
    """The family that the rule is about."""
    if rule.get("protocol") in ("ICMP", 1, "ICMPv6", 58):
        return 4 if rule["protocol"] in ("ICMP", 1) else 6
    nets = [net for side in ("source", "destination") for net in rule.get(side, {}).get("nets", ())]
    return _version(nets[0].split("/")[0]) if nets else rule.get("ipVersion")


def _protocol(chance: Random, family: int, rule: Document) -> Probe:
    icmp = "ICMP" if family == 4 else "ICMPv6"
    protocol = rule.get("protocol") if chance.random() < 0.9 else None
    if protocol is None:
        protocol = chance.choices(["TCP", "UDP", "SCTP", icmp, "other"], [45, 25, 8, 15, 7])[0]
    if protocol in (icmp, 1, 58):
        return {"protocol": icmp} | _icmp(chance, family, rule)
    if protocol == "UDP" and chance.random() < 0.05:
        return {
            "protocol": protocol,
            **chance.choice([{"port": 4789}, {"port": 51820}, {"port": 9, "sourcePort": 51820}]),
        }
    if protocol == "other":
        protocol = chance.choice([4, 47, 50, 132, 136])
    ports = {"port": _port(chance, rule.get("destination", {})), "sourcePort": _port(chance, rule.get("source", {}))}
    return {"protocol": protocol, **ports}


def _icmp(chance: Random, family: int, rule: Document) -> Probe:
    """The rule's type and code, or one of them, or others."""
    wanted = rule.get("icmp") or rule.get("notICMP") or {}
    kind, code = chance.choice(words.ICMP_TYPES[family]), chance.choice([0, 0, *words.ICMP_CODES])
    return {
        "icmpType": wanted.get("type", kind) if chance.random() < 0.8 else kind,
        "icmpCode": wanted.get("code", code) if chance.random() < 0.6 else code,
    }


def _port(chance: Random, entity: Document) -> int:
    """One of the rule's ports, one beside it, or any."""
    wanted = [*entity.get("ports", ()), *entity.get("notPorts", ())]
    numbers = [int(edge) for port in wanted for edge in str(port).split(":") if edge.isdigit()]
    if numbers and chance.random() < 0.7:
        return min(max(chance.choice(numbers) + chance.choice([0, 0, 0, -1, 1]), 1), 65535)
    return chance.choice([*words.PORTS, *words.PORTS, 79, 82, 1023, 1024, 8444, 40000, 65535])


def _party(chance: Random, workloads: list[Document], family: int, often: float) -> Probe:
    """A workload, or an address that may be nobody's, a set's, or a workload's after all."""
    workload = _workload(chance, workloads, family)
    if workload is not None and chance.random() < often:
        return workload
    return {"ip": _somewhere(chance, family)}


def _host(chance: Random, family: int, hosts: list[Document]) -> Probe:
    """A node, mostly one with host endpoints; its address and interface may be left to the judges."""
    nodes = [host["spec"]["node"] for host in hosts] if hosts and chance.random() < 0.8 else list(words.NODES)
    address = {"ip": words.NODE_ADDRESSES[family]} if chance.random() < 0.6 else {}
    return {"host": chance.choice(nodes)} | address | (_way(chance) if chance.random() < 0.5 else {})


def _way(chance: Random) -> Probe:
    """The interface of the party's node that leads to the other one."""
    return {"interface": chance.choice(["eth0", "eth0", "eth1", "eth2"])}


def _workload(chance: Random, workloads: list[Document], family: int) -> Probe | None:
    able = [item for item in workloads if any(_version(address) == family for address in addresses_of(item))]
    return {"pod": name_of(chance.choice(able))} if able else None


def _somewhere(chance: Random, family: int) -> str:
    if chance.random() < 0.6:
        return chance.choice(words.OUTSIDE[family])
    net = ip_network(chance.choice(words.NETS[family]))
    edge = chance.choice([net[0], net[-1], net[0] - 1 if int(net[0]) else net[0]])
    return str(edge) if _is_ordinary(str(edge)) else words.OUTSIDE[family][0]


def _is_ordinary(address: str) -> bool:
    """Whether a router would forward it."""
    ip = ip_address(address)
    return not (ip.is_multicast or ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_reserved)


def _version(address: str) -> int:
    return ip_address(address).version
