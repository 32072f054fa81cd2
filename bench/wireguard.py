"""What programming a device costs: 500 peers with 8 networks each, and one peer more (root).

.venv/bin/python -m bench.wireguard          the kernel's WireGuard where it has one, and wireguard-go
"""

import time
from dataclasses import replace
from ipaddress import ip_address, ip_network

from reconcile.clock import SystemClock
from tests.wg import lab
from tidegate.demo.namespace import Namespace
from wg.kernel import KernelWireGuard
from wg.keys import PrivateKey, PublicKey
from wg.model import Device, Endpoint, Peer
from wg.sync import DeviceSync
from wg.transport import WireGuard
from wg.tunnel import Kind
from wg.userspace import Userspace

PEERS, NETWORKS, ROUNDS = 500, 8, 5


def wanted(name: str, peers: int) -> Device:
    keys = [PublicKey(bytes([1, number & 255, number >> 8, *([7] * 29)])) for number in range(peers)]
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


def measure(transport: WireGuard, name: str) -> None:
    clock, empty = SystemClock(), replace(wanted(name, 0))
    full, more = wanted(name, PEERS), wanted(name, PEERS + 1)
    found: dict[str, list[float]] = {"all peers": [], "one more": [], "nothing new": [], "a look": []}
    for _ in range(ROUNDS):
        sync = DeviceSync(transport)
        sync.apply(empty, clock.wall())
        for what, device, looks in (
            ("all peers", full, False),
            ("one more", more, False),
            ("nothing new", more, False),
            ("a look", more, True),
        ):
            begin = time.perf_counter()
            sync.apply(device, clock.wall(), looks=looks)
            found[what].append((time.perf_counter() - begin) * 1000)
    for what, times in found.items():
        print(f"  {what:12} median {sorted(times)[ROUNDS // 2]:7.1f} ms, worst {max(times):7.1f} ms")


def main() -> None:
    """Prints both, as far as this machine has them."""
    namespace, name = Namespace.create("wgbench"), lab.device_name()
    try:
        lacks = lab.userspace_lacks()
        print(f"{Kind.USERSPACE.value}: {lacks or f'{PEERS} peers, {NETWORKS} networks each'}")
        if not lacks:
            with lab.wireguard_go(namespace, name):
                measure(Userspace(), name)
        lacks = lab.kernel_lacks()
        print(f"{Kind.KERNEL.value}: {lacks or f'{PEERS} peers, {NETWORKS} networks each'}")
        if not lacks:
            namespace.ip("link", "add", name, "type", "wireguard")
            with namespace.entered():
                transport = KernelWireGuard()
            with transport:
                measure(transport, name)
    finally:
        namespace.delete()


if __name__ == "__main__":
    main()
