"""Why a connection is allowed or denied: the walk through tiers, policies and rules, and what is known of names.

The walk is the reference semantics' (`policy.evaluate`), run on the documents in force and the names learned so far;
what names have to do with it comes from the packet process, which remembers also what it refused and what expired.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from policy.domains import DomainError, DomainName, DomainPattern
from policy.evaluate import Frame, LearnedName, Links, Packet, World, judge
from policy.resources.metadata import Resource
from policy.rules import EndpointID, HostEndpointID, IPAddress, NodeState, host_learner
from policy.staged import is_staged
from tidegate.api.question import Question, QuestionError, parse_question
from tidegate.api.views import JSONObject, timestamp
from tidegate.judge.answer import Answer, of_evaluation
from tidegate.judge.errors import ProbeError
from tidegate.judge.roster import Roster
from tidegate.render.places import governing_own
from tidegate.sync.progress import EndedConnection
from tidegate.sync.snapshots import domain_sets_of, naming_policies

AskPackets = Callable[..., Mapping[str, Any]]
"""The packet process's `explain`: endpoint and address or name; raises OSError where it cannot be asked."""

_MAX_ADDRESSES = 16
"""Of one name: more are not explained one by one."""
_TCP = 6
_WHAT_NAMES = "its data pass when the connection has named an allowed name (TLS SNI, HTTP Host)"
_WHAT_ELSE_NAMES = (
    "it is refused, but for QUIC that has named an allowed name, where the policy has that read (sni-quic)"
)
_MAX_ENDED = 10
"""Ended connections that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What holds at the moment of the question."""

    resources: Iterable[Resource]
    state: NodeState
    frame: Frame
    ask: AskPackets
    links: Links = field(default_factory=dict)
    """The node's own interfaces."""
    ended: Iterable[EndedConnection] = ()
    """Connections that were ended because policy stopped allowing them, the latest last."""


def explain(source: str, destination: str, facts: Facts) -> JSONObject:
    """The explanation. Blocks for as long as the packet process needs to answer.

    Raises:
        QuestionError: the question makes no sense, or names somebody who does not exist.
    """
    question = parse_question(source, destination)
    explainer = _Explainer(question, facts)
    paths = explainer.paths()
    is_allowed = any(path["verdict"] == "allow" for path in paths)
    return {
        "from": str(question.source),
        "to": str(question.destination),
        "endpoint": explainer.endpoint,
        "protocol": question.protocol,
        "port": question.port,
        "verdict": "allow" if is_allowed else "deny",
        "reasons": explainer.reasons_for_name() if not paths else [],
        "paths": paths,
    }


class _Explainer:
    """One question, with everything looked up that all its addresses share."""

    def __init__(self, question: Question, facts: Facts) -> None:
        resources = tuple(facts.resources)
        self._question = question
        self._facts = facts
        self._roster = Roster(resources, facts.links)
        self._world = World(resources, self._roster.links)
        self.endpoint = self._sender()
        self._learner = self.endpoint or self._host()
        """Who is asked about, as the packet process knows it: the workload, or its node's own processes."""
        self._patterns = self._patterns_of(self._learner)

    def _sender(self) -> EndpointID | None:
        source = self._question.source
        if isinstance(source, HostEndpointID):
            return None
        if isinstance(source, str):
            if self._world.endpoint(source) is None:
                raise QuestionError(f"cannot find the workload {source}")
            return source
        holder = self._world.endpoint_at(source)
        return None if holder is None else holder.endpoint

    def _host(self) -> EndpointID | None:
        """Who learns for the node's own processes, where one of them sends."""
        source, hosts = self._question.source, self._facts.state.host_endpoints.values()
        is_own = source in self._facts.state.own_addresses
        named = (one.endpoint for one in hosts if is_own or one.endpoint.id == source)
        return next((host_learner(one.node) for one in named), None)

    def _patterns_of(self, endpoint: EndpointID | None) -> list[str]:
        state = self._facts.state
        enforced = {policy: sets for policy, sets in naming_policies(state).items() if not is_staged(policy)}
        known = state.endpoints.get(endpoint) if endpoint is not None else None
        if known is not None:
            found = domain_sets_of(known, enforced)
        elif endpoint is not None:
            asked = (policy for host in state.host_endpoints.values() for policy in governing_own(host))
            found = tuple(one for policy in asked for one in enforced.get(policy, ()))
        else:
            return []
        return sorted({text for item in found for text in state.domain_sets[item].patterns})

    # --- paths ---

    def paths(self) -> list[JSONObject]:
        """One for each address that the destination stands for."""
        destination = self._question.destination
        if isinstance(destination, DomainName):
            if self._is_host_endpoint(destination):
                return [self._path(HostEndpointID(str(destination)))]
            return [self._path(address) for address in self._addresses(destination)]
        return [self._path(destination)]

    def _is_host_endpoint(self, name: DomainName) -> bool:
        return any(host.host == str(name) for host in self._world.hosts)

    def _addresses(self, name: DomainName) -> list[IPAddress]:
        told = self._ask(name=str(name))["told"]
        own = [e for e in told if e["own"] and (e["expires_in_seconds"] > 0 or e.get("grace_seconds", 0) > 0)]
        return list(dict.fromkeys(ip_address(entry["ip"]) for entry in own))[:_MAX_ADDRESSES]

    def _path(self, destination: EndpointID | HostEndpointID | IPAddress) -> JSONObject:
        try:
            packet = self._roster.packet(self._question.probe(destination))
        except ProbeError as error:
            raise QuestionError(str(error)) from error
        address = packet.destination.address
        reply: Mapping[str, Any] = {"told": (), "refusal": None}
        if self._learner is not None:
            reply = self._ask(address=str(address))
        verdict = judge(self._world, packet, list(_learned(reply["told"])), self._facts.frame)
        answer = of_evaluation(verdict)
        return {
            "ip": str(address),
            **{name: value for name, value in answer.document(None).items() if name != "id"},
            "names": [dict(entry) for entry in reply["told"]],
            "reasons": list(self._reasons(answer, reply, packet)),
            "ended": list(self._ended(packet)),
        }

    def _ended(self, packet: Packet) -> Iterator[JSONObject]:
        """Connections of this sort that were open when policy changed, the latest first."""
        asked = (packet.source.address, packet.destination.address, packet.protocol, packet.destination_port or 0)
        known = [one for one in self._facts.ended if (one.source, one.destination, one.protocol, one.port) == asked]
        for one in known[: -_MAX_ENDED - 1 : -1]:
            yield {"at": timestamp(one.at), "reason": one.reason}

    def _ask(self, **what: str) -> Mapping[str, Any]:
        try:
            return self._facts.ask(endpoint=self._learner or "", **what)
        except OSError as error:
            return {"told": (), "refusal": None, "failure": str(error)}

    # --- reasons ---

    def _reasons(self, answer: Answer, reply: Mapping[str, Any], packet: Packet) -> Iterator[JSONObject]:
        """What names have to do with it, the decisive first."""
        if "failure" in reply:
            yield _reason("packet-process-silent", f"what is known of names cannot be told: {reply['failure']}")
        if self._learner is None or answer.egress is None:
            return
        if reply["refusal"] is not None:
            refusal = reply["refusal"]
            yield _reason(refusal["reason"], f"an answer that gave {refusal['name']} this address was refused")
        if answer.egress.is_allowed and answer.egress.must_name:
            yield _reason("must-name", _WHAT_NAMES if packet.protocol == _TCP else _WHAT_ELSE_NAMES)
        yield from map(self._told, reply["told"])
        if not answer.egress.is_allowed and not any(entry["own"] for entry in reply["told"]):
            yield self._never_resolved()

    def _told(self, entry: Mapping[str, Any]) -> JSONObject:
        """What one name that led to the address means."""
        name, left = entry["name"], entry["expires_in_seconds"]
        if not entry["own"]:
            learner = entry["endpoint"]
            return _reason("other-endpoint", f"{learner} has learned {name} for it; what is learned is its own")
        if not self._matching(entry):
            return _reason("no-pattern", f"{name} was resolved to it, but {self._nearest(name)}")
        if left > 0 and not entry["is_open"]:
            return _reason("not-open", f"{name} was resolved to it, but the address is in none of the kernel's sets")
        if left > 0:
            return _reason("learned", f"{name} was learned from {entry['server']}, {left:.0f} s are left")
        if grace := entry.get("grace_seconds", 0):
            return _reason(
                "grace", f"{name} was learned from {entry['server']}, expired {-left:.0f} s ago, and was used: "
                f"another {grace:.0f} s of grace are left"
            )  # fmt: skip
        return _reason("expired", f"{name} was learned from {entry['server']} and expired {-left:.0f} s ago")

    def reasons_for_name(self) -> list[JSONObject]:
        """Why a name leads nowhere."""
        name = str(self._question.destination)
        reply = self._ask(name=name)
        if "failure" in reply:
            return [_reason("packet-process-silent", f"what is known of names cannot be told: {reply['failure']}")]
        refused = list(_refused(name, reply))[:_MAX_ADDRESSES]
        reasons = [*refused, *({**self._told(entry), "ip": entry["ip"]} for entry in reply["told"])]
        if not refused and not any(entry["own"] for entry in reply["told"]):
            who = self._learner or self._question.source
            reasons.append(_reason("never-resolved", f"{who} has never resolved {name}; {self._standing(name)}"))
        return reasons

    def _standing(self, name: str) -> str:
        matching = [pattern for pattern in self._patterns if _matches(pattern, name)]
        return f"it would match {', '.join(matching)}" if matching else self._nearest(name)

    def _matching(self, entry: Mapping[str, Any]) -> bool:
        chain = {entry["name"], *entry["chain"]}
        return any(_matches(pattern, name) for pattern in self._patterns for name in chain)

    def _never_resolved(self) -> JSONObject:
        if not self._patterns:
            return _reason("no-domain-rules", f"no rule of {self._learner} allows names")
        patterns = ", ".join(self._patterns)
        return _reason("never-resolved", f"{self._learner} has never resolved one of its names ({patterns}) to it")

    def _nearest(self, name: str) -> str:
        if not self._patterns:
            return f"no rule of {self._learner} allows names"
        nearest = difflib.get_close_matches(name, self._patterns, n=1, cutoff=0.0)
        return f"no pattern of {self._learner} matches it; the nearest is {nearest[0]}"


def _reason(code: str, message: str) -> JSONObject:
    """A word for programs, a sentence for people."""
    return {"code": code, "message": message}


def _refused(name: str, reply: Mapping[str, Any]) -> Iterator[JSONObject]:
    """Addresses that answers gave the name and that were refused, but for those that other answers gave it too."""
    own = {entry["ip"] for entry in reply["told"] if entry["own"]}
    for item in reply.get("refused", ()):
        if item["ip"] not in own:
            reason = _reason(item["reason"], f"an answer that gave {name} this address was refused")
            yield {**reason, "ip": item["ip"]}


def _learned(told: Iterable[Mapping[str, Any]]) -> Iterator[LearnedName]:
    """The facts that are in force. An answer's whole chain of aliases was learned with its address."""
    for entry in told:
        is_open = entry["expires_in_seconds"] > 0 and entry["is_open"]
        if is_open or entry.get("grace_seconds", 0) > 0:
            for name in {entry["name"], *entry["chain"]}:
                try:
                    address, parsed = ip_address(entry["ip"]), DomainName.parse(name)
                    yield LearnedName(EndpointID(entry["endpoint"]), parsed, address, is_past=not is_open)
                except DomainError:
                    continue  # a name of bytes that nobody writes; no pattern can match it either


def _matches(pattern: str, name: str) -> bool:
    try:
        return DomainPattern.from_canonical(pattern).matches(DomainName.parse(name).labels)
    except DomainError:
        return False
