"""Whether a connection may speak to the name that it says."""

from dnsagent.learn import Learner
from dnsagent.match import wire_key
from dnsagent.named.spoken import Spoken
from dnsagent.plan import RulePlan


def objection(learner: Learner, client: bytes, address: bytes, spoken: Spoken, *, is_quic: bool = False) -> str | None:
    """Why a connection of the client to the address is refused; None if it has named what it may.

    Asked are the client's bound rules by which the address is open. That is more than the one rule that let it open
    where several bound rules have learned one address for different ports: then any of their names will do.
    """
    plan = learner.plan
    rules = [rule for rule in _rules(learner, client, address) if rule.reads_quic or not is_quic]
    if spoken.name is None:
        return None if any(rule.allows_missing for rule in rules) else "no-name"
    named = {plan.rules[number].id for number in plan.index.find(wire_key(spoken.labels))}
    naming = [rule for rule in rules if rule.id in named]
    if not naming:
        return "other-name"
    is_clear = not spoken.has_ech and spoken.is_whole
    return None if is_clear or any(not rule.refuses_ech for rule in naming) else "ech"


def reads_quic(learner: Learner, client: bytes, address: bytes) -> bool:
    """Whether a QUIC client is to be asked for its name."""
    return any(rule.reads_quic for rule in _rules(learner, client, address))


def _rules(learner: Learner, client: bytes, address: bytes) -> list[RulePlan]:
    """Those by which the address is open; all bound ones if it has closed since the connection opened."""
    plan = learner.plan
    endpoint = plan.endpoints.get(client)
    if endpoint is None:
        return []
    bound = [plan.rules[number] for number in sorted(endpoint.rules) if plan.rules[number].is_bound]
    pair, is_six = client + address, len(address) == 16
    deadline = learner.elements.deadline
    opened = [rule for rule in bound if deadline((rule.set6 if is_six else rule.set4, pair)) is not None]
    return opened or bound
