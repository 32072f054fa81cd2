"""What roles and bindings allow (Kubernetes: plugin/pkg/auth/authorizer/rbac).

There is nothing that forbids: a request is allowed if any rule of any role that the caller has allows it. A binding
to a role that does not exist gives nothing and harms nothing.
"""

from collections.abc import Iterable, Iterator

from policy.rbac.model import ANYONE, MASTERS, Binding, Caller, Request, Role, RoleRef, RoleRule, Subject, SubjectKind


class Grants:
    """All roles and bindings of a moment, ready to be asked."""

    def __init__(self, roles: Iterable[Role], bindings: Iterable[Binding]) -> None:
        self._roles = {role.ref: role for role in roles}
        self._bindings = tuple(binding for binding in bindings if _can_refer(binding))

    def allow(self, caller: Caller, request: Request) -> bool:
        """Whether the caller may do what is asked."""
        if MASTERS in caller.groups:
            return True
        return any(_rule_allows(rule, request) for rule in self._rules_for(caller, request.namespace))

    def _rules_for(self, caller: Caller, namespace: str) -> Iterator[RoleRule]:
        for binding in self._bindings:
            # A RoleBinding reaches its namespace only: neither others, nor questions about all of them together.
            if binding.namespace and binding.namespace != namespace:
                continue
            role = self._role(binding.role)
            if role and any(_is_subject(caller, subject, binding.namespace) for subject in binding.subjects):
                yield from role.rules

    def _role(self, ref: RoleRef) -> Role | None:
        return self._roles.get(ref)


def _can_refer(binding: Binding) -> bool:
    """The API server refuses other bindings; a file may still hold one, which then gives nothing."""
    return binding.role.namespace in ("", binding.namespace)


def _is_subject(caller: Caller, subject: Subject, namespace: str) -> bool:
    match subject.kind:
        case SubjectKind.USER:
            return subject.name == caller.name
        case SubjectKind.GROUP:
            return subject.name in caller.groups
        case SubjectKind.SERVICE_ACCOUNT:
            home = subject.namespace or namespace
            return bool(home) and caller.name == f"system:serviceaccount:{home}:{subject.name}"


def _rule_allows(rule: RoleRule, request: Request) -> bool:
    return (
        _holds(rule.verbs, request.verb)
        and _holds(rule.api_groups, request.group)
        and _holds_resource(rule.resources, request.resource)
        and (not rule.resource_names or request.name in rule.resource_names)
    )


def _holds(values: frozenset[str], value: str) -> bool:
    return ANYONE in values or value in values


def _holds_resource(resources: frozenset[str], resource: str) -> bool:
    """`*/scale` stands for that subresource of everything; `tier.*` is no pattern, but a name that nothing has."""
    _, slash, subresource = resource.partition("/")
    return _holds(resources, resource) or (bool(slash) and f"*/{subresource}" in resources)
