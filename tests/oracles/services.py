"""Services of random worlds: slices of endpoints that are workloads, strangers, ready or not, in one family each."""

from random import Random

from tests.oracles import vocabulary as words
from tests.oracles.documents import Document, resource, some

PROBED = 0.6
"""How often a packet that is about a rule with a service goes to, or comes from, one of its endpoints."""


def documents(chance: Random) -> list[Document]:
    """Slices of the few services that rules name; some services have none, and some slices no service."""
    return [_slice(chance, index) for index in range(chance.randint(0, 5))]


def _slice(chance: Random, index: int) -> Document:
    family = chance.choice([4, 6])
    workloads = [f"10.65.0.{number}" if family == 4 else f"fd00:65::{number:x}" for number in range(2, 8)]
    addresses = some(chance, [*workloads, *words.OUTSIDE[family]], 0, 4)
    namespace, service = chance.choice([*words.SERVICES, *words.SERVICES, ("prod", "")])
    labels = {"kubernetes.io/service-name": service} if service else {}
    made = resource("EndpointSlice", f"slice{index}", namespace=namespace, labels=labels)
    return made | {
        "apiVersion": "discovery.k8s.io/v1",
        "addressType": f"IPv{family}",
        "endpoints": [{"addresses": [address], **_conditions(chance)} for address in addresses],
        "ports": [_port(chance, name) for name in some(chance, ["http", "dns", ""], 0, 3)],
    }


def _conditions(chance: Random) -> Document:
    return chance.choice([{}, {"conditions": {"ready": True}}, {"conditions": {"ready": False}}])


def _port(chance: Random, name: str) -> Document:
    number = {"port": chance.choice(words.PORTS)} if chance.random() < 0.9 else {}
    return {"name": name, "protocol": chance.choice(list(words.WITH_PORTS)), **number}


def aimed(chance: Random, probe: Document, rule: Document, everything: tuple[Document, ...]) -> Document:
    """The probe, mostly at an endpoint of the service that the rule names; now and then at another port of it."""
    for side, key in (("source", "from"), ("destination", "to")):
        wanted = rule.get(side, {}).get("services")
        family = f"IPv{probe['family']}"
        slices = [one for one in everything if wanted and _is_of(one, wanted) and one["endpoints"]]
        slices = [one for one in slices if one["addressType"] == family]
        if slices and "host" not in probe["from"] and "host" not in probe["to"] and chance.random() < PROBED:
            part = chance.choice(slices)
            made = {**probe, key: {"ip": chance.choice(part["endpoints"])["addresses"][0]}}
            return made | (_at_port(chance, part) if side == "destination" else {})
    return probe


def _is_of(document: Document, wanted: Document) -> bool:
    if document["kind"] != "EndpointSlice":
        return False
    is_there = wanted.get("namespace") in (None, document["metadata"]["namespace"])
    return is_there and document["metadata"].get("labels", {}).get("kubernetes.io/service-name") == wanted["name"]


def _at_port(chance: Random, part: Document) -> Document:
    ports = [port for port in part["ports"] if "port" in port]
    if not ports:
        return {}
    port = chance.choice(ports)
    number = min(port["port"] + chance.choice([0, 0, 0, 0, 1]), 65535)
    return {"protocol": port["protocol"], "port": number, "sourcePort": chance.choice(words.PORTS)}
