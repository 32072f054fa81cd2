"""Who is selected: by a policy as its subject, or by one side of a rule. Read directly off the resources' own words."""

from collections.abc import Mapping

from policy import labels
from policy.evaluate.world import Holder, World
from policy.resources.policies import GlobalNetworkPolicy
from policy.resources.rule import EntityRule, ServiceAccountMatch
from policy.tiers import Policy


def is_subject(policy: Policy, endpoint: Holder, world: World) -> bool:
    """Whether the policy acts on the endpoint, at one place or another."""
    spec = policy.spec
    if not world.selector(spec.selector).matches(endpoint.labels):
        return False
    if spec.service_account_selector and not _is_account(spec.service_account_selector, endpoint, world):
        return False
    if isinstance(policy, GlobalNetworkPolicy):
        text = policy.spec.namespace_selector
        return not text or _is_namespace(text, endpoint, world)
    return endpoint.labels.get(labels.NAMESPACE) == policy.metadata.namespace


def is_scoped(entity: EntityRule, namespace: str) -> bool:
    """Whether the address must belong to somebody who is selected.

    In a namespaced policy a notSelector alone scopes too: to the namespace.
    """
    accounts = entity.service_accounts
    asks_for_account = accounts is not None and bool(accounts.names or accounts.selector)
    if entity.selector or entity.namespace_selector or asks_for_account:
        return True
    return bool(namespace) and (bool(entity.not_selector) or accounts is not None)


def selection_mismatch(entity: EntityRule, holder: Holder, world: World, namespace: str) -> str | None:
    """Which criterion keeps the holder from being selected; None if it is selected.

    `namespace` is the policy's, or "" in cluster-wide policies and profiles.
    """
    if entity.selector and not world.selector(entity.selector).matches(holder.labels):
        return "selector"
    if not _is_in_scope(entity, holder, world, namespace):
        return "namespaceSelector"
    if entity.service_accounts is not None and not _runs_under(entity.service_accounts, holder, world):
        return "serviceAccounts"
    if entity.not_selector and world.selector(entity.not_selector).matches(holder.labels):
        return "notSelector"
    return None


def _is_in_scope(entity: EntityRule, holder: Holder, world: World, namespace: str) -> bool:
    if entity.namespace_selector:
        return _is_namespace(entity.namespace_selector, holder, world)
    return not namespace or holder.labels.get(labels.NAMESPACE) == namespace


def _runs_under(accounts: ServiceAccountMatch, holder: Holder, world: World) -> bool:
    if accounts.names and holder.labels.get(labels.SERVICE_ACCOUNT) not in accounts.names:
        return False
    return not accounts.selector or _is_account(accounts.selector, holder, world)


def _is_namespace(text: str, holder: Holder, world: World) -> bool:
    """Whether a namespaceSelector selects the holder: `all()` is any namespace, `global()` is none."""
    selector = world.selector(text)
    if selector.canonical == "all()":
        return labels.NAMESPACE in holder.labels
    if selector.canonical == "global()":
        return labels.NAMESPACE not in holder.labels
    return selector.matches(_unprefixed(holder.labels, labels.NAMESPACE_PREFIX))


def _is_account(text: str, holder: Holder, world: World) -> bool:
    """Whether a service account selector selects the holder: `all()` is any account."""
    selector = world.selector(text)
    if selector.canonical == "all()":
        return labels.SERVICE_ACCOUNT in holder.labels
    return selector.matches(_unprefixed(holder.labels, labels.SERVICE_ACCOUNT_PREFIX))


def _unprefixed(own: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in own.items() if key.startswith(prefix)}
