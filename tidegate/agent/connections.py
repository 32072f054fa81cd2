"""Cuts the connections of addresses that changed hands. Blocks; implements `sync.parts.Connections`."""

from collections.abc import Collection

from nfq.conntrack import Conntrack
from policy.rules import IPAddress


class KernelConnections:
    """The connection table of this network namespace, opened for each use: that is seldom."""

    def cut(self, addresses: Collection[IPAddress]) -> int:
        """Deletes the connections from and to these addresses; how many.

        Raises:
            ConntrackError: the kernel refused.
        """
        with Conntrack() as table:
            return sum(table.cut(source=address) + table.cut(destination=address) for address in addresses)
