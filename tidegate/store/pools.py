"""Pools of addresses that overlap: the first place counts (Calico: refuses an IPPool that overlaps another). Pure."""

from policy.resources.ip_pool import IPPool
from policy.resources.metadata import Resource, ResourceKey
from policy.rules import IPNetwork


class Pools:
    """Holds state: whose networks are taken. Asking costs the length of a prefix, however many there are."""

    def __init__(self) -> None:
        self._taken: dict[IPNetwork, ResourceKey] = {}
        self._around: dict[IPNetwork, tuple[ResourceKey, IPNetwork]] = {}
        """Every network that contains one that is taken, with the first such."""

    def refused(self, resource: Resource) -> str | None:
        """Why the pool cannot be, if another one has any of its addresses; otherwise it has them from now on."""
        if not isinstance(resource, IPPool):
            return None
        net = resource.spec.cidr
        around = [net, *(net.supernet(new_prefix=length) for length in range(net.prefixlen))]
        other = self._around.get(net) or next(((self._taken[one], one) for one in around if one in self._taken), None)
        if other is not None:
            return f"cannot have {net}: it overlaps with {other[1]} of {other[0]}, which counts"
        self._taken[net] = resource.key
        for one in around:
            self._around.setdefault(one, (resource.key, net))
        return None
