"""Cilium's endpoint selectors as Calico's two: one about the workload, one about its namespace.

Cilium writes everything into labels with a source: `k8s:app`, `any:app` and `app` are the pod's own,
`io.kubernetes.pod.namespace` is its namespace, `io.cilium.k8s.namespace.labels.team` a label of that,
`io.cilium.k8s.policy.serviceaccount` its account.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from policy.cilium.part import Part
from policy.cilium.remarks import CannotError

NAMESPACE_NAME = "projectcalico.org/name"
ACCOUNT = "projectcalico.org/serviceaccount"

_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."
_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
_OTHER = ("reserved:", "cidr:", "fqdn:", "node:", "container:", "io.cilium.k8s.policy.cluster")
_KEY = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_./]*")
_VALUE = re.compile(r"[-A-Za-z0-9_.]*")


@dataclass(frozen=True, slots=True)
class Selected:
    """Which workloads; "" asks for nothing."""

    own: str
    namespace: str


def selected(part: Part) -> Selected:
    """Reads a label selector.

    Raises:
        CannotError: it asks for something that no label here tells.
    """
    part.only("matchLabels", "matchExpressions")
    own: list[str] = []
    namespace: list[str] = []
    for is_namespace, text in _terms(part):
        (namespace if is_namespace else own).append(text)
    return Selected(" && ".join(own), " && ".join(namespace))


def _terms(part: Part) -> Iterator[tuple[bool, str]]:
    labels = part.get("matchLabels")
    for key, value in labels.fields() if labels else ():
        is_namespace, name = _key(key, value.path)
        yield is_namespace, f"{name} == {_quoted(value)}"
    expressions = part.get("matchExpressions")
    for expression in expressions.items() if expressions else ():
        yield _expression(expression)


def _expression(part: Part) -> tuple[bool, str]:
    part.only("key", "operator", "values")
    key, operator, values = part.get("key"), part.get("operator"), part.get("values")
    if key is None or operator is None:
        raise CannotError(part.path, "needs a key and an operator")
    is_namespace, name = _key(key.text(), key.path)
    term = _OPERATORS.get(operator.text())
    if term is None:
        raise CannotError(operator.path, "is none of In, NotIn, Exists and DoesNotExist")
    return is_namespace, term(name, ", ".join(_quoted(value) for value in values.items()) if values else "")


_OPERATORS: dict[str, Callable[[str, str], str]] = {
    "In": "{0} in {{ {1} }}".format,
    "NotIn": "{0} not in {{ {1} }}".format,
    "Exists": "has({0})".format,
    "DoesNotExist": "!has({0})".format,
}


def _key(text: str, path: str) -> tuple[bool, str]:
    """Whether the label is the namespace's, and its name here."""
    name = text.removeprefix("k8s:").removeprefix("any:").removeprefix("k8s.").removeprefix("any.")
    if name.startswith(_OTHER):
        raise CannotError(path, f"{text} is no label of pods here")
    if name == _NAMESPACE:
        return True, NAMESPACE_NAME
    if name.startswith(_NAMESPACE_LABELS):
        return True, _checked(name.removeprefix(_NAMESPACE_LABELS), path)
    return False, ACCOUNT if name == _ACCOUNT else _checked(name, path)


def _checked(name: str, path: str) -> str:
    if not _KEY.fullmatch(name):
        raise CannotError(path, f"{name!r} is no key of a label")
    return name


def _quoted(value: Part) -> str:
    text = value.text()
    if not _VALUE.fullmatch(text):
        raise CannotError(value.path, f"{text!r} is no value of a label")
    return f"'{text}'"
