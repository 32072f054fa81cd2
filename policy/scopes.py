"""Effective selectors: what a policy or rule selects once its namespace and service accounts are labels too.

| said | matched |
|---|---|
| S in a NetworkPolicy of namespace N | (S) && projectcalico.org/namespace == 'N' |
| S in a policy with doNotTrack or preDNAT | (S), host endpoints only |
| serviceAccountSelector X | X about `pcsa.` labels; all() is has(projectcalico.org/serviceaccount) |
| namespaceSelector X | X about `pcns.` labels; all() is has(projectcalico.org/namespace), global() its opposite |
| serviceAccounts.names | projectcalico.org/serviceaccount in {...} |
| rule of a NetworkPolicy with selectors but no namespaceSelector | ... && projectcalico.org/namespace == 'N' |
| notSelector beside a positive part | (positive) && !(notSelector) |
"""

from dataclasses import dataclass

from policy import labels
from policy.resources.policies import GlobalNetworkPolicy
from policy.resources.rule import EntityRule, ServiceAccountMatch
from policy.rules import Stage
from policy.selectors import Expression, Selector, parse
from policy.selectors.ast import All, Equals, Global, Has, In, conjunction, negation
from policy.selectors.rewrite import with_prefix
from policy.tiers import Policy, stage_of


def policy_selector(policy: Policy) -> Selector:
    """Which endpoints the policy acts on."""
    parts = [parse(policy.spec.selector).expression]
    if stage_of(policy) is not Stage.NORMAL:
        parts.append(Has(labels.HOST_ENDPOINT))
    if policy.spec.service_account_selector:
        parts.append(_about_service_account(policy.spec.service_account_selector))
    if isinstance(policy, GlobalNetworkPolicy):
        if policy.spec.namespace_selector:
            parts.append(_about_namespace(policy.spec.namespace_selector))
    else:
        parts.append(Equals(labels.NAMESPACE, policy.metadata.namespace))
    return Selector(conjunction(tuple(parts)))


@dataclass(frozen=True, slots=True)
class EntityScope:
    """Who stands on one side of a rule; both None: any address, known or not."""

    positive: Selector | None = None
    """The address belongs to somebody whom this selects."""
    negative: Selector | None = None
    """The address belongs to nobody whom this selects; never beside `positive`."""


def entity_scope(entity: EntityRule, namespace: str) -> EntityScope:
    """The scope of a rule's side in a policy of `namespace` ("" in cluster-wide policies and profiles)."""
    parts = _positive_parts(entity, namespace)
    unwanted = parse(entity.not_selector).expression if entity.not_selector else None
    if parts:
        if unwanted is not None:
            parts.append(negation(unwanted))
        return EntityScope(positive=Selector(conjunction(tuple(parts))))
    return EntityScope(negative=None if unwanted is None else Selector(unwanted))


def _positive_parts(entity: EntityRule, namespace: str) -> list[Expression]:
    parts: list[Expression] = []
    if entity.selector:
        parts.append(parse(entity.selector).expression)
    if entity.service_accounts:
        parts.extend(_about_accounts(entity.service_accounts))
    if entity.namespace_selector:
        parts.append(_about_namespace(entity.namespace_selector))
    elif namespace and (parts or entity.not_selector or entity.service_accounts is not None):
        parts.append(Equals(labels.NAMESPACE, namespace))
    return parts


def _about_accounts(accounts: ServiceAccountMatch) -> list[Expression]:
    parts: list[Expression] = []
    if accounts.names:
        parts.append(In(labels.SERVICE_ACCOUNT, frozenset(accounts.names)))
    if accounts.selector:
        parts.append(_about_service_account(accounts.selector))
    return parts


def _about_service_account(text: str) -> Expression:
    expression = parse(text).expression
    if isinstance(expression, All):
        return Has(labels.SERVICE_ACCOUNT)
    return with_prefix(expression, labels.SERVICE_ACCOUNT_PREFIX)


def _about_namespace(text: str) -> Expression:
    match parse(text).expression:
        case All():
            return Has(labels.NAMESPACE)
        case Global():
            return negation(Has(labels.NAMESPACE))
        case expression:
            return with_prefix(expression, labels.NAMESPACE_PREFIX)
