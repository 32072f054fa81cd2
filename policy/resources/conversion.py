"""From a Kubernetes Pod to the WorkloadEndpoint that Calico would make of it."""

import json
from collections.abc import Iterable, Iterator
from ipaddress import ip_network

from policy.resources.addresses import loose_network
from policy.resources.kube import Container, Pod
from policy.resources.metadata import ObjectMeta
from policy.resources.workload import AddressTranslation, EndpointPort, WorkloadEndpoint, WorkloadEndpointSpec
from policy.rules import IPAddress, IPNetwork

_FINISHED = frozenset(("Succeeded", "Failed"))
_RESERVED_PREFIXES = ("pcns.", "pcsa.")
_CALICO = "projectcalico.org/"
_CNI = "cni.projectcalico.org/"
_MAX_LABEL_VALUE = 63


def endpoint_of_pod(pod: Pod) -> WorkloadEndpoint | None:
    """The pod's endpoint, under the pod's name; None for a pod in the host's network, which has none.

    The interface is left open: which one it is depends on the network plugin, and the route to the pod tells. A
    finished pod keeps its endpoint but has no addresses, because they may belong to another pod by now. Annotations
    that cannot be read count as absent: to drop the endpoint for them would take policy off its traffic.
    """
    if pod.spec.host_network:
        return None
    addresses = () if pod.status.phase in _FINISHED else tuple(dict.fromkeys(_addresses(pod)))
    return WorkloadEndpoint(
        metadata=ObjectMeta(
            name=pod.metadata.name,
            namespace=pod.metadata.namespace,
            labels=_labels(pod),
            annotations=pod.metadata.annotations,
            uid=pod.metadata.uid,
        ),
        spec=WorkloadEndpointSpec(
            orchestrator="k8s",
            workload="",
            node=pod.spec.node_name,
            pod=pod.metadata.name,
            endpoint="eth0",
            service_account_name=pod.spec.service_account_name,
            ip_networks=tuple(ip_network(address) for address in addresses),
            ip_nats=tuple(_floating(pod, addresses)),
            profiles=_profiles(pod),
            interface_name="",
            ports=tuple(_ports((*pod.spec.init_containers, *pod.spec.containers))),
            allow_spoofed_source_prefixes=tuple(_networks(_json_list(pod, "allowedSourcePrefixes"))),
        ),
    )


def _profiles(pod: Pod) -> tuple[str, ...]:
    namespace, account = pod.metadata.namespace, pod.spec.service_account_name
    own = (f"kns.{namespace}",)
    return (*own, f"ksa.{namespace}.{account}") if account else own


def _labels(pod: Pod) -> dict[str, str]:
    labels = {key: value for key, value in pod.metadata.labels.items() if not key.startswith(_RESERVED_PREFIXES)}
    labels[_CALICO + "namespace"] = pod.metadata.namespace
    labels[_CALICO + "orchestrator"] = "k8s"
    account = pod.spec.service_account_name
    if account and len(account) < _MAX_LABEL_VALUE:
        labels[_CALICO + "serviceaccount"] = account
    return labels


def _addresses(pod: Pod) -> Iterator[IPAddress]:
    if pod.status.pod_ips:
        yield from (entry.ip for entry in pod.status.pod_ips)
    elif pod.status.pod_ip is not None:
        yield pod.status.pod_ip
    else:
        annotations = pod.metadata.annotations
        text = annotations.get(_CNI + "podIPs") or annotations.get(_CNI + "podIP") or ""
        networks = _networks([part.strip() for part in text.split(",")])
        yield from (network.network_address for network in networks if network.prefixlen == network.max_prefixlen)


def _ports(containers: tuple[Container, ...]) -> Iterator[EndpointPort]:
    protocols = {"TCP": 6, "UDP": 17, "SCTP": 132}
    for container in containers:
        for port in container.ports:
            if (port.name or port.host_port) and port.protocol in protocols:
                yield EndpointPort(
                    name=port.name,
                    protocol=protocols[port.protocol],
                    port=port.container_port,
                    host_port=port.host_port,
                    host_ip=port.host_ip,
                )


def _floating(pod: Pod, addresses: tuple[IPAddress, ...]) -> Iterator[AddressTranslation]:
    for text in _json_list(pod, "floatingIPs"):
        for external in _networks([text]):
            if external.prefixlen == external.max_prefixlen:
                yield from (
                    AddressTranslation(internal_ip=own, external_ip=external.network_address)
                    for own in addresses
                    if own.version == external.version
                )


def _networks(texts: Iterable[object]) -> Iterator[IPNetwork]:
    for text in texts:
        try:
            yield loose_network(text)
        except ValueError:
            continue


def _json_list(pod: Pod, annotation: str) -> list[object]:
    try:
        value = json.loads(pod.metadata.annotations.get(_CNI + annotation, "[]"))
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []
