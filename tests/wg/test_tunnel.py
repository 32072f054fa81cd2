"""A tunnel between two namespaces, by the kernel where it has WireGuard and by wireguard-go elsewhere; no agent."""

from contextlib import ExitStack
from ipaddress import ip_address, ip_network

import pytest

from reconcile.clock import SystemClock
from tests.lab.wire import Wire
from tests.wg import lab
from tidegate.demo import servers
from tidegate.demo.client import connect
from tidegate.demo.namespace import Namespace
from wg.host import Host
from wg.keys import PrivateKey
from wg.model import Device, Endpoint, Peer
from wg.routing import Route, RouteKind, Routing
from wg.tunnel import Kind, Tunnel

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

PORT, LISTEN, MARK, TABLE = 8080, 51820, 0x20000000, 51820


class End:
    """One node: where it is, what is inside, and its tunnel."""

    def __init__(self, number, namespace):
        self.namespace = namespace
        self.outer, self.inner = ip_address(f"192.0.2.{number}"), ip_address(f"10.8.0.{number}")
        self.key, self.name = PrivateKey.generate(), lab.device_name()
        with namespace.entered():
            self.host = Host()
        self.tunnel = Tunnel(self.host)

    def apply(self, other, *, strict=False, trusts_routes=False):
        peer = Peer(
            public_key=other.key.public,
            endpoint=Endpoint(other.outer, LISTEN),
            allowed_ips=frozenset({ip_network(other.inner)}),
        )
        device = Device(
            name=self.name, private_key=self.key, listen_port=LISTEN, fwmark=MARK, peers={peer.public_key: peer}
        )
        with self.namespace.entered():
            routing = self.routing(other, strict=strict)
            self.tunnel.apply(device, routing, SystemClock().wall(), trusts_routes=trusts_routes)

    def routing(self, other, *, strict=False):
        kinds = (RouteKind.TUNNEL, RouteKind.UNREACHABLE) if strict else (RouteKind.TUNNEL,)
        return Routing(
            interface=self.name,
            version=4,
            mtu=1420,
            table=TABLE,
            fwmark=MARK,
            priority=99,
            address=self.inner,
            routes=frozenset(Route(ip_network(other.inner), kind) for kind in kinds),
        )


@pytest.fixture
def ends():
    if lab.kernel_lacks() and lab.userspace_lacks():
        pytest.fail(lab.userspace_lacks())
    with ExitStack() as stack:
        first, second = Namespace.create("wgta"), Namespace.create("wgtb")
        stack.callback(first.delete)
        stack.callback(second.delete)
        first.ip("link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", second.name)
        for number, namespace in ((1, first), (2, second)):
            namespace.ip("addr", "add", f"192.0.2.{number}/24", "dev", "uplink")
            namespace.ip("link", "set", "uplink", "up")
        # The way in clear, which a packet takes where there is no tunnel.
        first.ip("route", "add", "10.8.0.2/32", "via", "192.0.2.2")
        made = End(1, first), End(2, second)
        for end, other in (made, made[::-1]):
            stack.callback(end.host.close)
            stack.callback(end.tunnel.close)
            stack.callback(end.host.delete_link, end.name)
            end.apply(other)
        stack.enter_context(servers.tcp_acceptors(second, (PORT,)))
        yield made


def connects(ends, seconds=lab.PATIENCE_SECONDS):
    return connect(ends[0].namespace, ends[1].inner, PORT, seconds).is_connected


def test_packets_pass_encrypted_and_a_device_made_again_is_talked_to(ends):
    first, second = ends
    with Wire(second.namespace, "uplink") as wire:
        assert connects(ends)
        lab.wait_until(lambda: wire.datagrams(str(second.outer), LISTEN), "WireGuard on the wire")
        second.host.delete_link(second.name)
        second.apply(first)
        assert second.tunnel.made == 2
        assert connects(ends)
        assert wire.syns(str(second.inner), PORT) == 0
    has_kernel = not lab.kernel_lacks()
    assert {end.tunnel.kind for end in ends} == {Kind.KERNEL if has_kernel else Kind.USERSPACE}


def test_applied_again_it_changes_nothing(ends):
    first, second = ends
    before = first.tunnel.changes
    first.apply(second)
    assert (first.tunnel.changes, first.tunnel.made) == (before, 1)


def test_routes_are_read_unless_they_are_trusted_and_always_after_the_device_was_down(ends):
    first, second = ends
    wanted = first.routing(second)
    flush = ("route", "flush", "table", str(TABLE))
    first.namespace.ip(*flush)
    first.apply(second, trusts_routes=True)
    assert first.host.routes(wanted) == frozenset()
    first.apply(second)
    assert first.host.routes(wanted) == wanted.routes
    first.namespace.ip("link", "set", first.name, "down")
    first.apply(second, trusts_routes=True)
    assert first.host.routes(wanted) == wanted.routes
    assert connects(ends)


def test_without_a_device_strict_closes_the_way_and_otherwise_it_is_clear(ends):
    first, second = ends
    first.apply(second, strict=True)
    first.host.delete_link(first.name)
    with Wire(second.namespace, "uplink") as wire:
        assert not connects(ends, 0.5)
        assert wire.syns(str(second.inner), PORT) == 0
        # The same without strict: packets take the main table's way.
        first.host.remove(first.routing(second))
        connects(ends, 0.5)
        lab.wait_until(lambda: wire.syns(str(second.inner), PORT), "a packet in clear")


def test_what_is_removed_leaves_nothing(ends):
    first, second = ends
    first.tunnel.remove(first.routing(second))
    assert first.host.link(first.name) is None
    assert first.host.routes(first.routing(second)) == frozenset()
    assert str(TABLE) not in first.namespace.command("ip", "rule")
