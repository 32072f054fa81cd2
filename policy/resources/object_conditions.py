"""How the other fields of resources go together: metadata, tiers, policies, sets, endpoints."""

from collections.abc import Iterator

from policy import options
from policy.resources import names
from policy.resources.conditions import Complaint, Conditions, present
from policy.resources.metadata import Resource
from policy.resources.policies import RESERVED_TIERS, GlobalPolicySpec, PolicySpec, PolicyType, Tier
from policy.resources.workload import AddressTranslation, EndpointPort, HostEndpointSpec, WorkloadEndpointSpec

_NAMESPACE_LABEL = "projectcalico.org/namespace"


# --- Metadata ---


def _name_fits_the_kind(resource: Resource) -> Iterator[Complaint]:
    if wrong := names.wrong_name(resource.KIND, resource.metadata.name):
        yield Complaint(wrong, ("metadata", "name"))


def _namespace_fits_the_kind(resource: Resource) -> Iterator[Complaint]:
    namespace = resource.metadata.namespace
    if namespace and not resource.IS_NAMESPACED:
        yield Complaint(f"cannot be given: a {resource.KIND} has no namespace", ("metadata", "namespace"))
    elif namespace and (wrong := names.wrong_label(namespace)):
        yield Complaint(wrong, ("metadata", "namespace"))


def _set_does_not_name_its_namespace(resource: Resource) -> Iterator[Complaint]:
    if _NAMESPACE_LABEL in resource.metadata.labels:
        location = ("metadata", "labels", _NAMESPACE_LABEL)
        yield Complaint("cannot be given: the set has this label by itself if it has a namespace", location)


def _dns_options_are_known(resource: Resource) -> Iterator[Complaint]:
    for key in resource.metadata.annotations:
        try:
            options.domain_options({key: resource.metadata.annotations[key]})
            options.wildcard({key: resource.metadata.annotations[key]})
        except options.AnnotationError as error:
            yield Complaint(str(error), ("metadata", "annotations", key))
    for key in options.idle_options(resource.metadata.annotations):
        yield Complaint(f"says nothing without {options.PREFIX}sni: bind", ("metadata", "annotations", key))


# --- Tiers and policies ---


def _reserved_tier_keeps_its_order(tier: Tier) -> Iterator[Complaint]:
    order, _ = RESERVED_TIERS.get(tier.metadata.name, (tier.spec.order, None))
    if tier.spec.order != order:
        yield Complaint(f"cannot be changed in this tier: it is {order:g}", ("spec", "order"))


def _reserved_tier_keeps_its_action(tier: Tier) -> Iterator[Complaint]:
    _, action = RESERVED_TIERS.get(tier.metadata.name, (0, tier.spec.default_action))
    if tier.spec.default_action != action:
        yield Complaint(f"cannot be changed in this tier: it is {action}", ("spec", "defaultAction"))


def _types_are_given(spec: PolicySpec) -> Iterator[Complaint]:
    if "types" in spec.model_fields_set and not spec.types:
        yield Complaint("cannot be empty: leave it out to have it follow from the rules", ("types",))


def _untracked_is_not_pre_dnat(spec: GlobalPolicySpec) -> Iterator[Complaint]:
    if spec.do_not_track and spec.pre_dnat:
        yield Complaint("cannot be true where doNotTrack is: a policy acts at one place", ("preDNAT",))


def _untracked_applies_on_forward(spec: GlobalPolicySpec) -> Iterator[Complaint]:
    if spec.do_not_track and not spec.apply_on_forward:
        yield Complaint("cannot be true without `applyOnForward: true`", ("doNotTrack",))


def _pre_dnat_applies_on_forward(spec: GlobalPolicySpec) -> Iterator[Complaint]:
    if spec.pre_dnat and not spec.apply_on_forward:
        yield Complaint("cannot be true without `applyOnForward: true`", ("preDNAT",))


def _pre_dnat_has_no_egress_rules(spec: GlobalPolicySpec) -> Iterator[Complaint]:
    if spec.pre_dnat and spec.egress:
        yield Complaint(
            "cannot have rules where preDNAT is true: only arriving traffic is seen before DNAT", ("egress",)
        )


def _pre_dnat_has_no_egress_type(spec: GlobalPolicySpec) -> Iterator[Complaint]:
    if spec.pre_dnat and not spec.egress and PolicyType.EGRESS in spec.types:
        yield Complaint(
            "cannot have Egress where preDNAT is true: only arriving traffic is seen before DNAT", ("types",)
        )


# --- Endpoints ---


def _interface_is_named(spec: WorkloadEndpointSpec) -> Iterator[Complaint]:
    if not spec.interface_name:
        yield Complaint("cannot be empty: name the interface on the node's side", ("interfaceName",))


def _translated_address_is_own(spec: WorkloadEndpointSpec) -> Iterator[Complaint]:
    own = {network.network_address for _, network in present(spec.ip_networks)}
    for index, nat in present(spec.ip_nats):
        if nat.internal_ip not in own:
            wrong = f"cannot be {nat.internal_ip}: it is none of ipNetworks"
            yield Complaint(wrong, ("ipNATs", index, "internalIP"))


def _translation_keeps_the_family(nat: AddressTranslation) -> Iterator[Complaint]:
    if nat.internal_ip.version != nat.external_ip.version:
        yield Complaint("cannot be of another family than internalIP", ("externalIP",))


def _port_has_a_name(port: EndpointPort) -> Iterator[Complaint]:
    if not port.name and not port.host_port:
        yield Complaint("cannot be left out where there is no hostPort", ("name",))


def _host_endpoint_is_found_somehow(spec: HostEndpointSpec) -> Iterator[Complaint]:
    if not spec.interface_name and not spec.expected_ips:
        yield Complaint("must have interfaceName or expectedIPs: the endpoint is found by one of them")


def _node_is_named(spec: HostEndpointSpec) -> Iterator[Complaint]:
    if not spec.node:
        yield Complaint("cannot be empty: name the node", ("node",))


OBJECT_CONDITIONS: Conditions = {
    Resource: (_name_fits_the_kind, _namespace_fits_the_kind),
    Tier: (_reserved_tier_keeps_its_order, _reserved_tier_keeps_its_action),
    PolicySpec: (_types_are_given,),
    GlobalPolicySpec: (
        _untracked_is_not_pre_dnat,
        _untracked_applies_on_forward,
        _pre_dnat_applies_on_forward,
        _pre_dnat_has_no_egress_rules,
        _pre_dnat_has_no_egress_type,
    ),
    WorkloadEndpointSpec: (_interface_is_named, _translated_address_is_own),
    AddressTranslation: (_translation_keeps_the_family,),
    EndpointPort: (_port_has_a_name,),
    HostEndpointSpec: (_node_is_named, _host_endpoint_is_found_somehow),
}
"""For every kind."""

POLICY_CONDITIONS: Conditions = {Resource: (_dns_options_are_known,)}
"""Further ones for policies of all kinds."""

SET_CONDITIONS: Conditions = {Resource: (_set_does_not_name_its_namespace,)}
"""Further ones for network sets."""
