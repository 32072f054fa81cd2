"""An address that changes hands keeps no connection, on whichever side of a translation it is."""

from ipaddress import ip_address

import pytest

from nfq.conntrack import Conntrack
from tests.lab.entries import Entry, insert
from tidegate.agent.connections import KernelConnections
from tidegate.demo.namespace import Namespace

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    ("pod", "other", "service", "world"),
    [
        ("10.0.1.2", "10.0.1.3", "10.96.0.7", "192.0.2.1"),
        ("fd00::2", "fd00::3", "fd00:96::7", "2001:db8::1"),
    ],
)
def test_connections_from_to_and_behind_the_address_are_cut_and_no_others(pod, other, service, world):
    pod, other, service, world = map(ip_address, (pod, other, service, world))
    namespace = Namespace.create("cut")
    try:
        namespace.command(
            "nft", "add table inet t; add chain inet t c { type filter hook input priority 0; ct state new; }"
        )
        with namespace.entered(), Conntrack() as table:
            insert(
                [
                    Entry(source=pod, destination=world),
                    Entry(source=world, destination=pod),
                    Entry(source=world, destination=service, target=pod, source_port=40001),
                    Entry(source=other, destination=world),
                    Entry(source=world, destination=service, target=other, source_port=40002),
                ]
            )
            assert KernelConnections().cut([pod]) == 3
            left = {(one.original.source, one.reply.source) for one in table.connections()}
            assert left == {(other.packed, world.packed), (world.packed, other.packed)}
            assert KernelConnections().cut([pod]) == 0
    finally:
        namespace.delete()
