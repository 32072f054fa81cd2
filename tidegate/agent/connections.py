"""Cuts the connections of addresses that changed hands. Blocks; implements `sync.parts.Connections`."""

from collections.abc import Collection

from nfq.conntrack import Conntrack
from policy.rules import IPAddress

_PASSES = 3
"""A table that changes while it is listed may hide entries; it is read until nothing is left, or so often."""


class KernelConnections:
    """The connection table of this network namespace, opened for each use: that is seldom."""

    def cut(self, addresses: Collection[IPAddress]) -> int:
        """Deletes the connections from and to these addresses, before and behind destination NAT; how many.

        Raises:
            ConntrackError: the kernel refused.
        """
        lost = {address.packed for address in addresses}

        def is_lost(source: bytes, destination: bytes, replies_from: bytes) -> bool:
            return source in lost or destination in lost or replies_from in lost

        total = 0
        with Conntrack() as table:
            for _ in range(_PASSES):
                deleted = table.delete([entry.whole() for entry in list(table.scan(is_lost))])
                total += deleted
                if not deleted:
                    break
        return total
