"""Profiles that nobody writes: one for each namespace and service account, and the one that allows everything."""

from collections.abc import Mapping

from policy import labels
from policy.resources.kube import Namespace, ServiceAccount
from policy.resources.metadata import ObjectMeta
from policy.resources.profile import Profile, ProfileSpec
from policy.resources.rule import Rule
from policy.rules import Action

_ALLOW = (Rule(action=Action.ALLOW),)


def of_namespace(namespace: Namespace) -> Profile:
    """Allows both directions, and passes on the namespace's labels (Calico: `kns.` profiles)."""
    name = namespace.metadata.name
    passed_on = _passed_on(labels.NAMESPACE_PREFIX, name, namespace.metadata.labels)
    return _profile(labels.namespace_profile(name), _ALLOW, passed_on)


def of_service_account(account: ServiceAccount) -> Profile:
    """Has no rules, so it decides nothing; passes on the account's labels (Calico: `ksa.` profiles)."""
    name = account.metadata.name
    passed_on = _passed_on(labels.SERVICE_ACCOUNT_PREFIX, name, account.metadata.labels)
    return _profile(labels.service_account_profile(account.metadata.namespace, name), (), passed_on)


def default_allow() -> Profile:
    """The read-only profile that Calico always has."""
    return _profile("projectcalico-default-allow", _ALLOW, {})


def _passed_on(prefix: str, name: str, own: Mapping[str, str]) -> dict[str, str]:
    passed_on = {prefix + key: value for key, value in own.items()}
    passed_on[prefix + labels.NAME] = name
    return passed_on


def _profile(name: str, rules: tuple[Rule, ...], labels_to_apply: dict[str, str]) -> Profile:
    # Unchecked: with its prefix a label's key may be longer than keys that people write.
    return Profile.model_construct(
        metadata=ObjectMeta.model_construct(name=name),
        spec=ProfileSpec.model_construct(ingress=rules, egress=rules, labels_to_apply=labels_to_apply),
    )
