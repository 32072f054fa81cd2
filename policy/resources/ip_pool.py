"""Pools of addresses (Calico: IPPool): whose addresses are workloads'. Nothing is assigned from them here."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, ClassVar

from policy.resources.addresses import RuleNetwork, is_within
from policy.resources.conditions import Complaint, Conditions
from policy.resources.fields import Distinct, Flag, Integer, SelectorText, choice
from policy.resources.metadata import Resource
from policy.resources.model import Model

_LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
_BLOCK_SIZES = {4: (20, 32), 6: (116, 128)}


class Encapsulation(StrEnum):
    """Which packets travel in others."""

    NEVER = "Never"
    ALWAYS = "Always"
    CROSS_SUBNET = "CrossSubnet"


class PoolUse(StrEnum):
    """What addresses are taken for."""

    WORKLOAD = "Workload"
    TUNNEL = "Tunnel"
    LOAD_BALANCER = "LoadBalancer"


class AssignmentMode(StrEnum):
    """Who may take one."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class IPPoolSpec(Model):
    """The addresses and what they are for."""

    cidr: RuleNetwork
    block_size: Integer | None = None
    """Length of the prefix of what one node gets; None is Calico's 26 or 122."""
    ipip_mode: Annotated[Encapsulation, choice(*Encapsulation)] = Encapsulation.NEVER
    vxlan_mode: Annotated[Encapsulation, choice(*Encapsulation)] = Encapsulation.NEVER
    nat_outgoing: Flag = False
    disabled: Flag = False
    disable_bgp_export: Flag = False
    node_selector: SelectorText = "all()"
    namespace_selector: SelectorText = ""
    allowed_uses: Distinct[Annotated[PoolUse, choice(*PoolUse)]] = (PoolUse.WORKLOAD, PoolUse.TUNNEL)
    assignment_mode: Annotated[AssignmentMode, choice(*AssignmentMode)] = AssignmentMode.AUTOMATIC


class IPPool(Resource):
    """A pool."""

    KIND: ClassVar = "IPPool"
    IS_NAMESPACED: ClassVar = False

    spec: IPPoolSpec


def _is_not_link_local(spec: IPPoolSpec) -> Iterator[Complaint]:
    for net in _LINK_LOCAL:
        if net.version == spec.cidr.version and (is_within(spec.cidr, net) or is_within(net, spec.cidr)):
            yield Complaint(f"cannot overlap {net}: those addresses belong to a link", ("cidr",))


def _block_fits(spec: IPPoolSpec) -> Iterator[Complaint]:
    if spec.block_size is None:
        return
    least, most = _BLOCK_SIZES[spec.cidr.version]
    if not least <= spec.block_size <= most:
        wrong = f"cannot be {spec.block_size}: must be from {least} to {most} for IPv{spec.cidr.version}"
        yield Complaint(wrong, ("blockSize",))
    elif spec.block_size < spec.cidr.prefixlen:
        yield Complaint(f"cannot be {spec.block_size}: a block must fit in {spec.cidr}", ("blockSize",))


def _one_encapsulation(spec: IPPoolSpec) -> Iterator[Complaint]:
    if Encapsulation.NEVER not in (spec.ipip_mode, spec.vxlan_mode):
        yield Complaint("cannot be given together with ipipMode: a packet travels in one other", ("vxlanMode",))


def _ipip_is_of_version_4(spec: IPPoolSpec) -> Iterator[Complaint]:
    if spec.cidr.version == 6 and spec.ipip_mode is not Encapsulation.NEVER:
        yield Complaint("cannot be given for IPv6: there is only VXLAN", ("ipipMode",))


CONDITIONS: Conditions = {IPPoolSpec: (_is_not_link_local, _block_fits, _one_encapsulation, _ipip_is_of_version_4)}
"""For pools."""
