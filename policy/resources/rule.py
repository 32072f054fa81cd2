"""Rules: an action and what it is about (Calico: Rule, EntityRule)."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from policy.domains import DomainPattern
from policy.resources.model import Model
from policy.rules import Action, IPNetwork, PortRange

Port = PortRange | str
"""A port or range, or the name of a port."""


class ServiceAccountMatch(Model):
    """Endpoints by the service account they run under; both fields are and-ed."""

    names: tuple[str, ...] = ()
    selector: str = ""


class ServiceMatch(Model):
    """The endpoints of a Kubernetes Service."""

    name: str
    namespace: str = ""
    """"" in a namespaced policy: the policy's own."""


class EntityRule(Model):
    """One side of a rule; fields are and-ed, members of a list or-ed."""

    nets: tuple[IPNetwork, ...] = ()
    not_nets: tuple[IPNetwork, ...] = ()
    selector: str = ""
    not_selector: str = ""
    namespace_selector: str = ""
    ports: tuple[Port, ...] = ()
    not_ports: tuple[Port, ...] = ()
    service_accounts: ServiceAccountMatch | None = None
    services: ServiceMatch | None = None
    domains: tuple[DomainPattern, ...] = ()


class ICMPFields(Model):
    """ICMP type and code; absent means any."""

    type: int | None = None
    code: int | None = None


class HTTPPath(Model):
    """An HTTP path, exactly or by its beginning."""

    exact: str | None = None
    prefix: str | None = None


class HTTPMatch(Model):
    """HTTP requests."""

    methods: tuple[str, ...] = ()
    paths: tuple[HTTPPath, ...] = ()


class RuleMetadata(Model):
    """Notes on a rule."""

    annotations: Mapping[str, str] = Field(default_factory=dict)


class Rule(Model):
    """A conjunction of what is given, and what to do with a packet that matches."""

    action: Action
    ip_version: Literal[4, 6] | None = None
    protocol: int | None = None
    """IANA number."""
    not_protocol: int | None = None
    icmp: ICMPFields | None = None
    not_icmp: ICMPFields | None = None
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
    http: HTTPMatch | None = None
    metadata: RuleMetadata | None = None
