"""Named sets of networks and domains (Calico: NetworkSet, GlobalNetworkSet)."""

from typing import ClassVar

from policy.resources.addresses import Domain, Network
from policy.resources.fields import Distinct, Items
from policy.resources.metadata import Resource
from policy.resources.model import Model


class NetworkSetSpec(Model):
    """The members."""

    nets: Distinct[Network] = ()
    """Masked; a plain address is /32 or /128."""
    allowed_egress_domains: Items[Domain] = ()
    """Names that an egress Allow rule which selects the set as destination lets through."""


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
