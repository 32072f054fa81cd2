"""Limits on what one workload sends and receives: values, as documents ask for them and as the table enforces them.

They are counted for each endpoint and direction by itself, both address families together.
"""

from dataclasses import dataclass

DEFAULT_PACKET_BURST = 5
"""Packets that may exceed the rate at once where nobody says how many (Calico: Configure QoS controls)."""
MAX_PACKET_RATE = 10_000
"""Of annotations, and of bursts there."""
MAX_DOCUMENTED_RATE = 1_000_000_000
"""Of a WorkloadEndpoint's fields: the kernel's clock has no finer steps (nft_limit.c)."""
MAX_CONNECTION_RATE = 1_000_000
MAX_CONNECTIONS = 2**32 - 1
"""The kernel counts with 32 bits (nft_connlimit.c); Calico documents 100 G, which no node could have."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second on average, and `burst` at once after a quiet time."""

    per_second: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one endpoint in one direction; None is no limit."""

    packets: Rate | None = None
    """All packets, those of open connections too (Calico: ingressPacketRate, ingressPacketBurst)."""
    connections: Rate | None = None
    """New connections. `per_second` 0 says that there is no limit, whatever the node's setting is."""
    max_connections: int | None = None
    """Open at the same time (Calico: ingressMaxConnections)."""


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLimits:
    """Of one endpoint."""

    ingress: Limits = NO_LIMITS
    """What it receives, and connections that others open to it."""
    egress: Limits = NO_LIMITS


UNLIMITED = TrafficLimits()
