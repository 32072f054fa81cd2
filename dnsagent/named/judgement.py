"""Whether a connection may speak to the name that it says."""

from dnsagent.learn import Learner
from dnsagent.match import wire_key
from dnsagent.named.flows import Flow
from dnsagent.named.spoken import Spoken
from dnsagent.plan import RulePlan
from nfq.headers import TCP, UDP


def objection(learner: Learner, flow: Flow, spoken: Spoken, *, is_quic: bool = False) -> str | None:
    """Why a connection is refused; None if it has named what it may.

    Asked are the client's bound rules by which the address is open at that port.
    """
    plan = learner.plan
    rules = [rule for rule in _rules(learner, flow, UDP if is_quic else TCP) if rule.reads_quic or not is_quic]
    if spoken.name is None:
        return None if any(rule.allows_missing for rule in rules) else "no-name"
    named = {plan.rules[number].id for number in plan.index.find(wire_key(spoken.labels))}
    naming = [rule for rule in rules if rule.id in named]
    if not naming:
        return "other-name"
    is_clear = not spoken.has_ech and spoken.is_whole
    return None if is_clear or any(not rule.refuses_ech for rule in naming) else "ech"


def reads_quic(learner: Learner, flow: Flow) -> bool:
    """Whether a QUIC client is to be asked for its name."""
    return any(rule.reads_quic for rule in _rules(learner, flow, UDP))


def _rules(learner: Learner, flow: Flow, protocol: int) -> list[RulePlan]:
    """Those by which the address is open at that port; all bound ones there if it has closed since."""
    client, address, _, port = flow
    plan = learner.plan
    endpoint = plan.endpoints.get(client)
    if endpoint is None:
        return []
    own = [plan.rules[number] for number in sorted(endpoint.rules)]
    bound = [rule for rule in own if rule.is_bound and rule.leads_to(protocol, port)]
    pair, is_six = client + address, len(address) == 16
    deadline = learner.elements.deadline
    opened = [rule for rule in bound if deadline((rule.set6 if is_six else rule.set4, pair)) is not None]
    return opened or bound
