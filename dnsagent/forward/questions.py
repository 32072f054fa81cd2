"""Which names and types may be asked: judged before anybody upstream hears of the question. Pure.

canary names -> refused types -> deny lists -> names that policy admits -> forwarded
"""

from dataclasses import dataclass, field
from enum import StrEnum

from dnsagent.forward.lists import Denial, DenyList
from dnsagent.forward.messages import Asked, ExtendedError, Rcode, refusal
from dnsagent.match import PatternIndex, wire_key
from dnsagent.plan import EndpointPlan, Plan

NEGATIVE_TTL = 60
"""How long a client remembers that it may not ask: a changed policy should not have to wait longer."""
_HTTPS, _SVCB = 65, 64
_CANARY = wire_key((b"use-application-dns", b"net"))
"""Browsers that are told that it does not exist leave DNS over HTTPS alone (Mozilla: canary domain)."""
_DESIGNATED = wire_key((b"_dns", b"resolver", b"arpa"))
"""Encrypted resolvers are discovered under this name (RFC 9462 4); it has no records here."""
_RELAYS = frozenset({wire_key((b"mask", b"icloud", b"com")), wire_key((b"mask-h2", b"icloud", b"com"))})
"""Apple's private relay takes a denial for a network's wish not to be relayed around its resolver."""


class Refusal(StrEnum):
    """Why a question is not forwarded."""

    CANARY = "canary"
    TYPE = "type"
    LISTED = "listed"
    NOT_ADMITTED = "not-admitted"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRules:
    """What the configuration says of questions."""

    only_selected_names: bool = False
    """A workload may ask for names that its own policy selects, and those in `admitted`, alone."""
    admitted: PatternIndex = field(default_factory=lambda: PatternIndex({}))
    denied_types: frozenset[int] = frozenset()
    filters_services: bool = False
    """HTTPS and SVCB records do not exist."""
    hides_resolvers: bool = True
    """Programs are told that they shall use no other resolver."""
    refuses: bool = False
    """What may not be asked is REFUSED; otherwise there is no such name, as far as the workload knows."""
    lists: DenyList = field(default_factory=DenyList)


@dataclass(frozen=True, slots=True)
class Refused:
    """A question answered here."""

    reason: Refusal
    reply: bytes


def judge(asked: Asked, endpoint: EndpointPlan | None, plan: Plan, rules: QuestionRules) -> Refused | None:
    """The reply to a question that may not be asked; None for one that may."""
    name = asked.name
    if rules.hides_resolvers and (name == _CANARY or name in _RELAYS):
        return Refused(Refusal.CANARY, refusal(asked, Rcode.NXDOMAIN, ExtendedError.BLOCKED, NEGATIVE_TTL))
    if rules.hides_resolvers and name.endswith(_DESIGNATED):
        return Refused(Refusal.CANARY, refusal(asked, Rcode.NOERROR, ExtendedError.BLOCKED, NEGATIVE_TTL))
    if (rules.filters_services and asked.type in (_HTTPS, _SVCB)) or asked.type in rules.denied_types:
        return Refused(Refusal.TYPE, refusal(asked, Rcode.NOERROR, ExtendedError.PROHIBITED, NEGATIVE_TTL))
    said = rules.lists.find(name)
    if said is not None and said is not Denial.PASS:
        rcode = Rcode.NXDOMAIN if said is Denial.NXDOMAIN else Rcode.NOERROR
        return Refused(Refusal.LISTED, refusal(asked, rcode, ExtendedError.BLOCKED, NEGATIVE_TTL))
    if rules.only_selected_names and not _is_selected(name, endpoint, plan) and not rules.admitted.find(name):
        return Refused(Refusal.NOT_ADMITTED, not_admitted(asked, rules))
    return None


def not_admitted(asked: Asked, rules: QuestionRules) -> bytes:
    """The reply to what a workload may not ask, in the configured way."""
    if rules.refuses:
        return refusal(asked, Rcode.REFUSED, ExtendedError.PROHIBITED)
    return refusal(asked, Rcode.NXDOMAIN, ExtendedError.PROHIBITED, NEGATIVE_TTL)


def _is_selected(name: bytes, endpoint: EndpointPlan | None, plan: Plan) -> bool:
    return endpoint is not None and bool(plan.index.find(name) & endpoint.rules)
