"""What an operator would be wrong to believe of a node's host endpoints. Pure.

A host endpoint that has no interface protects nothing, and its document does not show it.
"""

from collections.abc import Iterator

from policy.rules import EVERY_INTERFACE, HostEndpointPolicy, NodeState
from tidegate.sync.conditions import Condition, ConditionType
from tidegate.sync.links import Links


def host_conditions(state: NodeState, links: Links) -> list[Condition]:
    """A condition for each host endpoint that is in force nowhere."""
    return [_condition(host, *said) for host in state.host_endpoints.values() for said in _idle(host, links)]


def _idle(host: HostEndpointPolicy, links: Links) -> Iterator[tuple[str, str]]:
    endpoint = host.endpoint
    if not endpoint.interfaces:
        yield "NoInterface", _why_none(endpoint.interface_name)
    elif endpoint.interface_name not in ("", EVERY_INTERFACE) and endpoint.interface_name not in links.interfaces:
        yield "InterfaceAbsent", f"this node has no interface {endpoint.interface_name} at present"


def _why_none(interface_name: str) -> str:
    if interface_name == EVERY_INTERFACE:
        return "another host endpoint for every interface stands before it by name"
    if interface_name:
        return f"another host endpoint for {interface_name} stands before it by name"
    return "no interface of this node that is still free has one of its expectedIPs"


def _condition(host: HostEndpointPolicy, reason: str, message: str, path: str = "") -> Condition:
    return Condition(
        type=ConditionType.HOST_ENDPOINT_IDLE,
        is_true=True,
        reason=reason,
        message=message,
        subject=f"HostEndpoint {host.endpoint.id}",
        path=path,
    )
