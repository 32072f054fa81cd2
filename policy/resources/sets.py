"""Named sets of networks and domains (Calico: NetworkSet, GlobalNetworkSet)."""

from typing import ClassVar

from policy.domains import DomainPattern
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.rules import IPNetwork


class NetworkSetSpec(Model):
    """The members."""

    nets: tuple[IPNetwork, ...] = ()
    """Masked; a plain address is /32 or /128."""
    allowed_egress_domains: tuple[DomainPattern, ...] = ()


class NetworkSet(Resource):
    """A set that belongs to a namespace."""

    KIND: ClassVar = "NetworkSet"
    IS_NAMESPACED: ClassVar = True

    spec: NetworkSetSpec = NetworkSetSpec()


class GlobalNetworkSet(Resource):
    """A set for the whole cluster."""

    KIND: ClassVar = "GlobalNetworkSet"
    IS_NAMESPACED: ClassVar = False

    spec: NetworkSetSpec = NetworkSetSpec()
