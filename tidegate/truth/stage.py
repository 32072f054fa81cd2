"""The pods as namespaces on one node, each listening on every port, with the real agent on the node.

pod --- its interface --- node (forwards; the agent runs here)
"""

import selectors
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from policy.rules import EndpointID
from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import GATEWAY4, GATEWAY6
from tidegate.demo.namespace import Namespace
from tidegate.demo.servers import listen
from tidegate.judge.nodes import interface_of_pod
from tidegate.truth.cases import TCP, Cast, Member, Port

_READY_SECONDS = 120
_TICK_SECONDS = 0.2

Namespaces = Mapping[EndpointID, Namespace]


@contextmanager
def stage(cast: Cast, ports: Sequence[Port], resources: Path) -> Iterator[Namespaces]:
    """Everything built, listening, and policy in force; all of it is gone afterwards.

    Args:
        cast: The pods and their node.
        ports: Where each of them listens.
        resources: The documents that the agent reads.

    Raises:
        LabError: the network cannot be built, or the agent does not get ready.
    """
    with ExitStack() as stack:
        node = Namespace.create("truth")
        stack.callback(node.delete)
        node.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        pods = {}
        for number, member in enumerate(cast.members):
            pods[member.id] = Namespace.create(f"truth-{number}")
            stack.callback(pods[member.id].delete)
            _connect(node, pods[member.id], member)
        stack.enter_context(_listeners(tuple(pods.values()), ports))
        scratch = stack.enter_context(TemporaryDirectory(prefix="tidegate-truth-"))
        agent = RunningAgent(node, resources, Path(scratch), cast.node)
        agent.start("--remove-on-exit")
        stack.callback(agent.stop)
        agent.wait_until_ready(_READY_SECONDS)
        yield pods


def _connect(node: Namespace, pod: Namespace, member: Member) -> None:
    interface = member.interface_name or interface_of_pod(member.id)
    node.ip("link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
    node.ip("addr", "add", f"{GATEWAY4}/32", "dev", interface)
    node.ip("addr", "add", f"{GATEWAY6}/64", "dev", interface, "nodad")
    node.ip("link", "set", interface, "up")
    pod.ip("link", "set", "eth0", "up")
    for address in member.addresses:
        node.ip(f"-{address.version}", "route", "add", str(address), "dev", interface)
        pod.ip("addr", "add", str(address), "dev", "eth0", *(("nodad",) if address.version == 6 else ()))
    pod.ip("route", "add", GATEWAY4, "dev", "eth0")
    for address in {address.version: address for address in member.addresses}.values():
        gateway = GATEWAY4 if address.version == 4 else GATEWAY6
        words = ("default", "via", gateway, "dev", "eth0", "src", str(address))
        pod.ip(f"-{address.version}", "route", "add", *words)


@contextmanager
def _listeners(pods: Sequence[Namespace], ports: Sequence[Port]) -> Iterator[None]:
    """Of TCP the kernel completes the handshake by itself: nobody needs to accept. Datagrams are echoed."""
    with ExitStack() as stack:
        echoing = []
        for pod in pods:
            for port in ports:
                for family in (socket.AF_INET, socket.AF_INET6):
                    kind = socket.SOCK_STREAM if port.protocol == TCP else socket.SOCK_DGRAM
                    server = stack.enter_context(listen(pod, family, kind, port.number))
                    if port.protocol != TCP:
                        server.settimeout(0)
                        echoing.append(server)
        stop = threading.Event()
        thread = threading.Thread(target=_echo, args=(echoing, stop), name="truth-echo", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _echo(servers: Sequence[socket.socket], stop: threading.Event) -> None:
    with selectors.DefaultSelector() as ready:
        for server in servers:
            ready.register(server, selectors.EVENT_READ)
        while not stop.wait(0 if servers else _TICK_SECONDS):
            for key, _ in ready.select(_TICK_SECONDS):
                assert isinstance(key.fileobj, socket.socket)
                with suppress(OSError):  # a reply that cannot be sent is one that does not arrive
                    data, peer = key.fileobj.recvfrom(64)
                    key.fileobj.sendto(data, peer)
