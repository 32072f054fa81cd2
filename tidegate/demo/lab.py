r"""A node with pods and the outside world, each a network namespace.

    pod a  10.0.1.2   fd00:1::2 --- cali-a \
    pod b  10.0.1.3   fd00:1::3 --- cali-b  > node (forwards; the agent runs here) --- uplink --- world
                                                                                      10.0.53.53, .66   DNS servers
                                                                                      fd00:53::53, ::66
                                                                                      198.51.100.0/24, 203.0.113.0/24,
                                                                                      2001:db8:1::/64   anything at all

Every pod has its addresses as /32 and /128, and the node's side of its link answers as 169.254.1.1 and fe80::1, as
Calico's does. All addresses of the world's documentation networks are local to it: a server there answers on each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tidegate.demo.namespace import Namespace

GATEWAY4 = "169.254.1.1"
GATEWAY6 = "fe80::1"
DNS4 = IPv4Address("10.0.53.53")
DNS6 = IPv6Address("fd00:53::53")
UNTRUSTED_DNS4 = IPv4Address("10.0.53.66")
WORLD_NETWORKS = ("198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/64")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's namespace and how the node knows it."""

    name: str
    namespace: Namespace
    interface_name: str
    address4: IPv4Address
    address6: IPv6Address


@dataclass(frozen=True, slots=True)
class Lab:
    """The whole network; `delete` takes all of it away."""

    node: Namespace
    world: Namespace
    pods: tuple[Pod, ...]

    @classmethod
    def create(cls, pod_names: Sequence[str]) -> "Lab":
        """Builds it, in about 30 ms a pod.

        Raises:
            LabError: a step was refused; what was made until then is taken away.
        """
        lab = cls(Namespace.create("node"), Namespace.create("world"), ())
        try:
            _connect_world(lab.node, lab.world)
            for name in pod_names:
                lab = lab.with_pod(name)
        except Exception:
            lab.delete()
            raise
        return lab

    def with_pod(self, name: str, number: int | None = None) -> "Lab":
        """The same lab with one more pod; `number` (from 0) chooses its addresses, the next free one by default.

        Raises:
            LabError: a step was refused.
        """
        pod = _make_pod(self.node, name, len(self.pods) if number is None else number)
        return Lab(self.node, self.world, (*self.pods, pod))

    def without_pod(self, name: str) -> "Lab":
        """The same lab after the pod was removed."""
        self.pod(name).namespace.delete()
        return Lab(self.node, self.world, tuple(pod for pod in self.pods if pod.name != name))

    def pod(self, name: str) -> Pod:
        """The pod of that name; KeyError where there is none."""
        return {pod.name: pod for pod in self.pods}[name]

    def delete(self) -> None:
        """Removes all namespaces."""
        for namespace in (*(pod.namespace for pod in self.pods), self.world, self.node):
            namespace.delete()


def _connect_world(node: Namespace, world: Namespace) -> None:
    node.ip("link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", world.name)
    for namespace, host in ((node, "1"), (world, "53")):
        namespace.ip("addr", "add", f"10.0.53.{host}/24", "dev", "uplink")
        namespace.ip("addr", "add", f"fd00:53::{host}/64", "dev", "uplink", "nodad")
        namespace.ip("link", "set", "uplink", "up")
    world.ip("addr", "add", f"{UNTRUSTED_DNS4}/24", "dev", "uplink")
    world.ip("addr", "add", "fd00:53::66/64", "dev", "uplink", "nodad")
    for network in WORLD_NETWORKS:
        world.ip("route", "add", "local", network, "dev", "lo")
    node.ip("route", "add", "default", "via", str(DNS4))
    node.ip("-6", "route", "add", "default", "via", str(DNS6))
    world.ip("route", "add", "10.0.1.0/24", "via", "10.0.53.1")
    world.ip("-6", "route", "add", "fd00:1::/64", "via", "fd00:53::1")
    node.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    # Any address of the documentation networks may be bound by the world's servers.
    world.sysctl(net__ipv4__ip_nonlocal_bind=1, net__ipv6__ip_nonlocal_bind=1)


def _make_pod(node: Namespace, name: str, number: int) -> Pod:
    namespace = Namespace.create(name)
    pod = Pod(name, namespace, f"cali-{name}", IPv4Address("10.0.1.2") + number, IPv6Address("fd00:1::2") + number)
    node.ip("link", "add", pod.interface_name, "type", "veth", "peer", "name", "eth0", "netns", namespace.name)
    node.ip("addr", "add", f"{GATEWAY4}/32", "dev", pod.interface_name)
    node.ip("addr", "add", f"{GATEWAY6}/64", "dev", pod.interface_name, "nodad")
    node.ip("link", "set", pod.interface_name, "up")
    node.ip("route", "add", f"{pod.address4}/32", "dev", pod.interface_name)
    node.ip("-6", "route", "add", f"{pod.address6}/128", "dev", pod.interface_name)
    namespace.ip("addr", "add", f"{pod.address4}/32", "dev", "eth0")
    namespace.ip("addr", "add", f"{pod.address6}/128", "dev", "eth0", "nodad")
    namespace.ip("link", "set", "eth0", "up")
    namespace.ip("route", "add", GATEWAY4, "dev", "eth0")
    namespace.ip("route", "add", "default", "via", GATEWAY4)
    namespace.ip("-6", "route", "add", "default", "via", GATEWAY6, "dev", "eth0")
    return pod
