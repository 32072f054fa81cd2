"""Roles and bindings as documents, and the manifest's admission policies asked by an interpreter of CEL."""

from functools import cache
from pathlib import Path

import celpy
import yaml
from celpy import celtypes

from policy.rbac import Binding, Caller, Grants, Request, Role, RoleRef, RoleRule, Subject, SubjectKind

MANIFEST = Path(__file__).parents[3] / "deploy" / "kubernetes" / "tiered-rbac.yaml"
EVERYBODY = "system:authenticated"
COST_OF_CHECK, COST_LIMIT = 350_000, 1_000_000
"""Kubernetes: apiserver/pkg/cel/library/cost.go and apis/cel/config.go."""


@cache
def documents():
    return tuple(yaml.safe_load_all(MANIFEST.read_text()))


def found(kind):
    return [document for document in documents() if document["kind"] == kind]


# --- Roles ---


def rule(document):
    lists = {"verbs": "verbs", "api_groups": "apiGroups", "resources": "resources", "resource_names": "resourceNames"}
    return RoleRule(**{ours: frozenset(document.get(theirs, ())) for ours, theirs in lists.items()})


def shipped_roles():
    return [Role(name=d["metadata"]["name"], rules=tuple(map(rule, d["rules"]))) for d in found("ClusterRole")]


def shipped_bindings():
    return [
        Binding(
            role=RoleRef(d["roleRef"]["name"]),
            subjects=tuple(
                Subject(kind=SubjectKind(s["kind"]), name=s["name"], namespace=s.get("namespace", ""))
                for s in d["subjects"]
            ),
        )
        for d in found("ClusterRoleBinding")
    ]


def user(name, *groups):
    return Caller(name=name, groups=frozenset((EVERYBODY, *groups)))


def grants(roles, bindings):
    """With what the manifest ships."""
    return Grants([*shipped_roles(), *roles], [*shipped_bindings(), *bindings])


# --- Admission ---


class Question:
    """What `authorizer` is in CEL: collects the parts of a request, then asks the roles."""

    def __init__(self, roles, caller):
        self.roles, self.caller, self.asked = roles, caller, []

    def functions(self):
        def part(name):
            def add(parts, value):
                more = celtypes.MapType(parts)
                more[celtypes.StringType(name)] = value
                return more

            return add

        def check(parts, verb):
            said = {str(key): str(value) for key, value in parts.items()}
            request = Request(verb=str(verb), **said)
            self.asked.append(request)
            return celtypes.BoolType(self.roles.allow(self.caller, request))

        names = {name: part(name) for name in ("group", "resource", "namespace", "name")}
        return {**names, "check": check, "allowed": lambda answer: answer}


ENVIRONMENT = celpy.Environment()


@cache
def compiled(expression):
    return ENVIRONMENT.compile(expression)


def admit(policy_name, roles, caller, request, new, old):
    """What the admission policy of this name says: the messages of the validations that fail, in order."""
    spec = next(d["spec"] for d in found("ValidatingAdmissionPolicy") if d["metadata"]["name"] == policy_name)
    question = Question(roles, caller)
    context = {
        "authorizer": celtypes.MapType({}),
        # As the API server gives it: fields that are empty are not there.
        "request": celpy.json_to_cel(
            {**{k: v for k, v in request.items() if v}, "userInfo": {"username": caller.name}}
        ),
        "object": None if new is None else celpy.json_to_cel(new),
        "oldObject": None if old is None else celpy.json_to_cel(old),
    }

    def evaluate(expression):
        question.asked.clear()
        program = ENVIRONMENT.program(compiled(expression), functions=question.functions())
        value = program.evaluate(context)
        assert len(question.asked) * COST_OF_CHECK < COST_LIMIT, expression
        return value

    variables = celtypes.MapType({})
    for variable in spec["variables"]:
        context["variables"] = variables
        variables[celtypes.StringType(variable["name"])] = evaluate(variable["expression"])
    context["variables"] = variables
    return [str(evaluate(v["messageExpression"])) for v in spec["validations"] if not evaluate(v["expression"])]
