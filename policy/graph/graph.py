"""The calculation graph of one node: documents in, what changes for the node out.

    >>> graph = CalcGraph("node-1")
    >>> graph.on_update(policy.key, policy)
    >>> graph.in_sync()
    >>> events = graph.flush()

The output is a function of the documents of the moment, never of how they came to be so: a fresh graph with the same
documents says the same. No I/O, no clock, no thread; every arrow below is a plain call.
"""

from collections.abc import Iterable
from typing import TypeVar

from policy import endpoints, labels, staged, tiers
from policy.graph.active import ActivePolicies, ActiveProfiles
from policy.graph.binder import PolicyBinder
from policy.graph.host_source import HostEndpointMeaning, HostEndpointSource
from policy.graph.hosts import LocalHostEndpoints
from policy.graph.inheritance import LabelInheritance, LabelsChanged, Lineage
from policy.graph.items import of_endpoint, of_host_endpoint, of_network_set, of_node
from policy.graph.known_nodes import KnownNodes
from policy.graph.locals import LocalEndpoints
from policy.graph.memberships import Memberships
from policy.graph.resolver import Resolver
from policy.graph.rulebook import Rulebook
from policy.graph.sequencer import Sequencer
from policy.graph.sources import EndpointMeaning, EndpointSource, ProfileMeaning, ProfileSource
from policy.hosts import Addresses
from policy.resources.controllers import KubeControllersConfiguration
from policy.resources.kube import Namespace, Pod, ServiceAccount
from policy.resources.kube_node import Node
from policy.resources.kube_service import EndpointSlice
from policy.resources.metadata import Resource, ResourceKey
from policy.resources.policies import GlobalNetworkPolicy, NetworkPolicy, Tier
from policy.resources.profile import Profile
from policy.resources.sets import GlobalNetworkSet, NetworkSet
from policy.resources.workload import HostEndpoint, WorkloadEndpoint
from policy.rules import EndpointID, GraphEvent, HostEndpointID
from policy.tiers import Policy

ResourceT = TypeVar("ResourceT", bound=Resource)


class CalcGraph:
    """Wires the nodes; knows which document goes where. The nodes know only who stands to their right."""

    def __init__(self, node_name: str) -> None:
        # All output is gathered and put in order:
        #
        #     ... ---> Sequencer ---> events
        #
        self._sequencer = Sequencer()

        # Compiled policies wait for word of their domain sets, and the sets for their members:
        #
        #     PolicyBinder <--- (exists?) --- Memberships <--- labels, addresses, domains of all items
        #          |                               |
        #          +--------> Sequencer <----------+
        #
        binder = PolicyBinder(self._sequencer)
        self._memberships = Memberships(binder, self._sequencer)

        # Rules are compiled when their policy becomes active; the sets that they name are acquired first:
        #
        #     Rulebook ---> Memberships
        #          +------> PolicyBinder
        #
        rulebook = Rulebook(self._memberships, binder)

        # Local endpoints are matched with policies and profiles:
        #
        #     LocalEndpoints ---> ActivePolicies ---> Rulebook
        #          |       +----> ActiveProfiles ------^
        #          |                    ActivePolicies ---> Resolver ---> Sequencer
        #          +--------------------------------------------^
        #     LocalHostEndpoints: likewise
        #
        self._resolver = Resolver(self._sequencer)
        self._policies = ActivePolicies(rulebook, self._resolver)
        self._profiles = ActiveProfiles(rulebook)
        self._locals = LocalEndpoints(node_name, self._policies, self._profiles, self._resolver)
        self._hosts = LocalHostEndpoints(node_name, self._policies, self._profiles, self._resolver)

        # Documents become endpoints and profiles, and these labels in force:
        #
        #     WorkloadEndpoint, Pod -----------------> EndpointSource ---> LabelInheritance ---> LocalEndpoints
        #     Profile, Namespace, ServiceAccount ----> ProfileSource ------^            +------> Memberships
        #     HostEndpoint, Node, configuration ----> HostEndpointSource ---> LabelInheritance ---> LocalHostEndpoints
        #     NetworkSet, GlobalNetworkSet --------------------------------^
        #     Node, EndpointSlice ----------------------------------------------------> Memberships
        #     Tier ----------------------------------> Resolver
        #     NetworkPolicy, GlobalNetworkPolicy ----> ActivePolicies
        #     staged policies -----------------------> ActivePolicies; deletions ---> Resolver
        #
        self._inheritance = LabelInheritance()
        self._endpoint_source = EndpointSource()
        self._profile_source = ProfileSource()
        self._known_nodes = KnownNodes(self._sequencer)
        self._host_source = HostEndpointSource(node_name)
        for meaning in self._profile_source.built_in():
            self._on_profile(meaning)
        self._is_in_sync = False

    # --- In ---

    def on_update(self, key: ResourceKey, resource: Resource | None) -> None:
        """A document came, changed, or went or became invalid (None). Kinds without a meaning here change nothing."""
        match key.kind:
            case "Tier":
                self._resolver.on_tier(key.name, _expected(Tier, resource))
            case "NetworkPolicy" | "KubernetesNetworkPolicy":
                self._on_policy(key, _expected(NetworkPolicy, resource))
            case "GlobalNetworkPolicy" | (
                "KubernetesClusterNetworkPolicy"
                | "KubernetesAdminNetworkPolicy"
                | "KubernetesBaselineAdminNetworkPolicy"
            ):
                self._on_policy(key, _expected(GlobalNetworkPolicy, resource))
            case "StagedNetworkPolicy" | "StagedGlobalNetworkPolicy" | "StagedKubernetesNetworkPolicy":
                self._on_staged(key, resource)
            case "NetworkSet":
                self._on_network_set(key, _expected(NetworkSet, resource))
            case "GlobalNetworkSet":
                self._on_network_set(key, _expected(GlobalNetworkSet, resource))
            case "EndpointSlice":
                self._memberships.on_slice(key, _expected(EndpointSlice, resource))
            case _:
                self._on_subject(key, resource)

    def on_interface(self, endpoint: EndpointID, interface_name: str | None) -> None:
        """A route look-up found the interface of an endpoint, or finds it no more (None)."""
        self._locals.on_interface(endpoint, interface_name)

    def on_host_interfaces(self, addresses: Addresses) -> None:
        """The node's own addresses by interface are these: templates of automatic host endpoints look at them."""
        self._on_host_endpoints(self._host_source.on_interfaces(addresses))

    def in_sync(self) -> None:
        """All documents that existed at the start have been told. Nothing is given out before."""
        self._is_in_sync = True

    # --- Out ---

    def flush(self) -> list[GraphEvent]:
        """What changed since the last flush, in an order in which it can be put into force; nothing before in-sync."""
        if not self._is_in_sync:
            return []
        self._memberships.flush()
        self._resolver.flush()
        return self._sequencer.flush()

    # --- Between ---

    def _on_subject(self, key: ResourceKey, resource: Resource | None) -> None:
        """Endpoints, and what they inherit from."""
        source, identity = self._profile_source, endpoints.identity(key.namespace, key.name)
        match key.kind:
            case "WorkloadEndpoint":
                self._on_endpoints(self._endpoint_source.on_endpoint(identity, _expected(WorkloadEndpoint, resource)))
            case "HostEndpoint" | "Node" | "KubeControllersConfiguration":
                self._on_host_source(key, resource)
            case "Pod":
                self._on_endpoints(self._endpoint_source.on_pod(identity, _expected(Pod, resource)))
            case "Profile":
                self._on_profile(source.on_profile(key.name, _expected(Profile, resource)))
            case "Namespace":
                self._on_profile(source.on_namespace(key.name, _expected(Namespace, resource)))
            case "ServiceAccount":
                account = _expected(ServiceAccount, resource)
                self._on_profile(source.on_service_account(key.namespace, key.name, account))
            case _:
                pass

    def _on_policy(self, key: ResourceKey, policy: Policy | None) -> None:
        self._policies.on_policy(tiers.identity_of(key), policy)

    def _on_staged(self, key: ResourceKey, resource: Resource | None) -> None:
        identity = tiers.identity_of(key)
        self._policies.on_policy(identity, staged.on_trial(resource))
        self._resolver.on_deletion(staged.twin(identity), is_leaving=staged.deletes(resource))

    def _on_network_set(self, key: ResourceKey, network_set: NetworkSet | GlobalNetworkSet | None) -> None:
        if network_set is None:
            self._on_labels(self._inheritance.on_item(key, None))
            return
        lineage = Lineage(labels.network_set_labels(network_set), labels.network_set_profiles(network_set))
        self._memberships.on_contribution(key, of_network_set(network_set))
        self._on_labels(self._inheritance.on_item(key, lineage))

    def _on_node(self, key: ResourceKey, node: Node | None) -> None:
        if node is not None:
            self._memberships.on_contribution(key, of_node(node))
        self._memberships.on_labels(LabelsChanged(key, None if node is None else node.metadata.labels))

    def _on_endpoints(self, meanings: list[EndpointMeaning]) -> None:
        for identity, endpoint in meanings:
            lineage = None
            if endpoint is not None:
                lineage = Lineage(labels.endpoint_labels(endpoint), endpoint.spec.profiles)
                self._memberships.on_contribution(identity, of_endpoint(endpoint))
            self._on_labels(self._inheritance.on_item(identity, lineage))
            self._locals.on_endpoint(identity, endpoint, self._inheritance.labels_of(identity))

    def _on_host_source(self, key: ResourceKey, resource: Resource | None) -> None:
        source = self._host_source
        match key.kind:
            case "HostEndpoint":
                self._on_host_endpoints(source.on_endpoint(key.name, _expected(HostEndpoint, resource)))
            case "Node":
                node = _expected(Node, resource)
                self._on_node(key, node)
                self._known_nodes.on_node(key.name, node)
                self._on_host_endpoints(source.on_node(key.name, node))
            case _:
                configuration = _expected(KubeControllersConfiguration, resource)
                self._on_host_endpoints(source.on_configuration(key.name, configuration))

    def _on_host_endpoints(self, meanings: list[HostEndpointMeaning]) -> None:
        for identity, endpoint in meanings:
            lineage = None
            if endpoint is not None:
                lineage = Lineage(labels.host_endpoint_labels(endpoint), endpoint.spec.profiles)
                self._memberships.on_contribution(identity, of_host_endpoint(endpoint))
            self._on_labels(self._inheritance.on_item(identity, lineage))
            self._hosts.on_endpoint(identity, endpoint, self._inheritance.labels_of(identity))

    def _on_profile(self, meaning: ProfileMeaning) -> None:
        name, profile = meaning
        self._on_labels(self._inheritance.on_profile(name, profile.spec.labels_to_apply if profile else None))
        self._profiles.on_profile(name, profile)

    def _on_labels(self, changes: Iterable[LabelsChanged]) -> None:
        for change in changes:
            self._memberships.on_labels(change)
            if isinstance(change.item, HostEndpointID):
                self._hosts.on_labels(change.item, change.labels)
            elif not isinstance(change.item, ResourceKey):
                self._locals.on_labels(change.item, change.labels)


def _expected(kind: type[ResourceT], resource: Resource | None) -> ResourceT | None:
    """The resource as what its key says it is."""
    if resource is not None and not isinstance(resource, kind):
        raise TypeError(f"key says {kind.__name__}, resource is {type(resource).__name__}")
    return resource
