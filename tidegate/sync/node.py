"""Who has an address, before and after a change. Pure."""

from policy.rules import EndpointID, IPAddress, NodeState


def addresses_given_up(before: NodeState, after: NodeState) -> frozenset[IPAddress]:
    """Addresses of local endpoints that belong to another endpoint now, or to none.

    Whoever has one of them next must not inherit the connections or the learned names of its last owner.
    """
    owners = _owners(after)
    return frozenset(address for address, owner in _owners(before).items() if owners.get(address) != owner)


def _owners(state: NodeState) -> dict[IPAddress, EndpointID]:
    return {
        address: endpoint_id
        for endpoint_id, endpoint in state.endpoints.items()
        for address in endpoint.endpoint.addresses
    }
