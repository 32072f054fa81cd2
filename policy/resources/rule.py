"""Rules: an action and what it is about (Calico: Rule, EntityRule). How fields go together: `rule_conditions`."""

from typing import Annotated, Literal

from pydantic import Field

from policy.resources.addresses import Domain, RuleNetwork
from policy.resources.fields import (
    Annotations,
    Distinct,
    Integer,
    Items,
    NamespaceSelectorText,
    ObjectName,
    SelectorText,
    Text,
    at_most,
    between,
    choice,
    number_of,
)
from policy.resources.model import Model
from policy.resources.transport import Port, Protocol
from policy.rules import Action

MAX_RULES = 1024
"""In one direction of one policy."""
MAX_NETS = 256
MAX_PORTS = 50
MAX_HTTP = 20
MAX_SERVICE_NAME = 253
MAX_PATH = 1024


class ServiceAccountMatch(Model):
    """Endpoints by the service account they run under; both fields are and-ed."""

    names: Items[ObjectName] = ()
    selector: SelectorText = ""


class ServiceMatch(Model):
    """The endpoints of a Kubernetes Service."""

    name: Annotated[Text, at_most(MAX_SERVICE_NAME)] = ""
    """Never empty once decoded."""
    namespace: Annotated[Text, at_most(MAX_SERVICE_NAME)] = ""
    """"" in a namespaced policy: the policy's own."""


class EntityRule(Model):
    """One side of a rule; fields are and-ed, members of a list or-ed."""

    nets: Annotated[Distinct[RuleNetwork], at_most(MAX_NETS)] = ()
    not_nets: Annotated[Distinct[RuleNetwork], at_most(MAX_NETS)] = ()
    selector: SelectorText = ""
    not_selector: SelectorText = ""
    namespace_selector: NamespaceSelectorText = ""
    ports: Annotated[Items[Port], at_most(MAX_PORTS)] = ()
    not_ports: Annotated[Items[Port], at_most(MAX_PORTS)] = ()
    service_accounts: ServiceAccountMatch | None = None
    services: ServiceMatch | None = None
    domains: Items[Domain] = ()
    """In the flavour of `Wildcard.LABELS`: an annotation of the policy may choose the other."""


class NodePeer(EntityRule):
    """The addresses of the cluster's nodes. No document of Calico's can say it: made from administrators' policies."""

    node_selector: SelectorText = ""
    """About the labels of nodes; "" is every node."""


class ICMPFields(Model):
    """ICMP type and code; absent means any."""

    type: Annotated[Integer, between(0, 254)] | None = None
    """255 is reserved."""
    code: Annotated[Integer, between(0, 255)] | None = None


class HTTPPath(Model):
    """An HTTP path, exactly or by its beginning."""

    exact: Annotated[Text, at_most(MAX_PATH)] | None = None
    prefix: Annotated[Text, at_most(MAX_PATH)] | None = None


class HTTPMatch(Model):
    """HTTP requests by method and path; both are and-ed."""

    methods: Annotated[Distinct[Text], at_most(MAX_HTTP)] = ()
    paths: Annotated[Items[HTTPPath], at_most(MAX_HTTP)] = ()


class RuleMetadata(Model):
    """Notes on a rule."""

    annotations: Annotations = Field(default_factory=dict)


class Rule(Model):
    """A conjunction of what is given, and what to do with a packet that matches."""

    action: Annotated[Action, choice(*Action)]
    ip_version: Annotated[Literal[4, 6], number_of(4, 6)] | None = None
    protocol: Protocol | None = None
    """IANA number."""
    not_protocol: Protocol | None = None
    """IANA number."""
    icmp: ICMPFields | None = None
    not_icmp: ICMPFields | None = None
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
    http: HTTPMatch | None = None
    metadata: RuleMetadata | None = None
