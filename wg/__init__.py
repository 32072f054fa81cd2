"""The WireGuard workshop: keys, devices and peers; which nodes are peers, and which routes lead to them.

    nodes ---> mesh ---> Device, Routing             pure: what is wanted, and why a node is left out
               Device -> DeviceSync -> DeviceChange -> transport: userspace (UAPI), kernel (generic netlink), fake
               Routing -> HostRouting -> rule, table, addresses

It knows nothing of policy, nor where nodes are written down.
"""
