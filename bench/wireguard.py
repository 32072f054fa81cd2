"""What 500 peers cost to program, with 8 networks each, and one peer more (root).

.venv/bin/python -m bench.wireguard          the kernel's WireGuard where it has one, and wireguard-go
.venv/bin/python -m bench.wireguard json     the same, for programs: milliseconds by what was done, by transport

"round" is all that the agent does when a node's document changes: documents to peers, the device, addresses, routes
and the rule. The others are the device alone.
"""

import base64
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from statistics import median

from policy.resources.decode import decode
from policy.resources.metadata import Resource
from reconcile.clock import SystemClock
from tests.wg import lab
from tidegate.agent.tunnel_keeper import TunnelKeeper
from tidegate.config.wireguard import TunnelSettings
from tidegate.demo.namespace import Namespace
from tidegate.sync.links import Links
from wg.host import Host
from wg.kernel import KernelWireGuard
from wg.keys import PrivateKey, PublicKey
from wg.model import Device, Endpoint, Peer
from wg.sync import DeviceSync
from wg.transport import WireGuard
from wg.tunnel import Kind
from wg.userspace import Userspace

PEERS, NETWORKS, ROUNDS = 500, 8, 5
Found = dict[str, list[float]]
"""Milliseconds of each time, by what was done."""


def _key(number: int) -> bytes:
    return bytes([1, number & 255, number >> 8, *([7] * 29)])


def wanted(name: str, peers: int) -> Device:
    keys = [PublicKey(_key(number)) for number in range(peers)]
    return Device(
        name=name,
        private_key=PrivateKey(bytes([9] * 32)),
        listen_port=51820,
        peers={
            key: Peer(
                public_key=key,
                endpoint=Endpoint(ip_address((192 << 24) + (2 << 8) + index % 250 + 1), 51820),
                allowed_ips=frozenset(
                    ip_network(((10 << 24) + (index << 10) + (part << 6), 26)) for part in range(NETWORKS)
                ),
            )
            for index, key in enumerate(keys)
        },
    )


def measure(transport: WireGuard, name: str) -> Found:
    """The device alone."""
    clock, empty = SystemClock(), replace(wanted(name, 0))
    full, more = wanted(name, PEERS), wanted(name, PEERS + 1)
    found: Found = {"all peers": [], "one more": [], "nothing new": [], "a look": []}
    for _ in range(ROUNDS):
        sync = DeviceSync(transport)
        sync.apply(empty, clock.wall())
        for what, device, looks in (
            ("all peers", full, False),
            ("one more", more, False),
            ("nothing new", more, False),
            ("a look", more, True),
        ):
            found[what].append(_milliseconds(lambda: sync.apply(device, clock.wall(), looks=looks)))  # noqa: B023
    return found


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def _document(number: int, key: str) -> Resource:
    first = (10 << 24) + (number << 10)
    found = decode(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": f"n{number}",
                "annotations": {
                    "projectcalico.org/WireguardPublicKey": key,
                    "projectcalico.org/IPv4WireguardInterfaceAddr": str(ip_address(first + 1)),
                },
            },
            "spec": {"podCIDRs": [str(ip_network((first + (part << 6), 26))) for part in range(NETWORKS)]},
            "status": {"addresses": [{"type": "InternalIP", "address": str(ip_address((192 << 24) + number + 1))}]},
        }
    )
    assert isinstance(found, Resource), found
    return found


def measure_rounds(state: Path, name: str) -> Found:
    """All of a round, in the namespace of the caller; the device is left."""
    settings = TunnelSettings(
        version=4,
        interface=name,
        listen_port=51820,
        mtu=0,
        table=51820,
        priority=99,
        mark=0x20000000,
        keepalive_seconds=0,
        is_strict=False,
    )
    clock, links = SystemClock(), Links()
    found: Found = {"round: all peers": [], "round: one more": [], "round: one less": [], "round: nothing new": []}
    with Host() as host:
        keeper = TunnelKeeper(settings, host, state, "n0")
        keeper.apply((), links, clock.wall(), looks=True)
        own = _document(0, str(keeper.document(clock.wall())["public_key"]))
        more = (own, *(_document(each, base64.b64encode(_key(each)).decode()) for each in range(1, PEERS + 2)))
        steps = (("all peers", more[:-1]), ("one more", more), ("nothing new", more), ("one less", more[:-1]))
        for _ in range(ROUNDS):
            keeper.apply((own,), links, clock.wall(), looks=True)
            for what, documents in steps:
                spent = _milliseconds(lambda: keeper.apply(documents, links, clock.wall(), looks=False))  # noqa: B023
                found[f"round: {what}"].append(spent)
        assert not keeper.error, keeper.error
        keeper.close()
    return found


@contextmanager
def _device(namespace: Namespace, kind: Kind) -> Iterator[str]:
    """A new device; its name."""
    name = lab.device_name()
    if kind is Kind.USERSPACE:
        with lab.wireguard_go(namespace, name):
            yield name
        return
    namespace.ip("link", "add", name, "type", "wireguard")
    yield name
    namespace.ip("link", "del", name)


def measure_all(kind: Kind) -> Found:
    """Through that transport; nothing where the machine has it not."""
    lacks = lab.kernel_lacks() if kind is Kind.KERNEL else lab.userspace_lacks()
    if lacks:
        return {}
    namespace = Namespace.create("wgbench")
    try:
        with namespace.entered():
            with ExitStack() as stack:
                transport = stack.enter_context(KernelWireGuard()) if kind is Kind.KERNEL else Userspace()
                found = measure(transport, stack.enter_context(_device(namespace, kind)))
            with _device(namespace, kind) as name, tempfile.TemporaryDirectory() as state:
                return found | measure_rounds(Path(state), name)
    finally:
        namespace.delete()


def main() -> None:
    """Measures both, as far as this machine has them."""
    found = {kind.value: measure_all(kind) for kind in Kind}
    if "json" in sys.argv[1:]:
        print(json.dumps(found))
        return
    for kind, times in found.items():
        print(f"{kind}: {f'{PEERS} peers, {NETWORKS} networks each' if times else 'this machine has none'}")
        for what, each in times.items():
            print(f"  {what:18} median {median(each):7.1f} ms, worst {max(each):7.1f} ms")


if __name__ == "__main__":
    main()
