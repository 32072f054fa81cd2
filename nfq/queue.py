"""The seam between the packet path and a kernel queue: what every reader of NFQUEUE can do.

Three readers stand behind it and pass one suite of tests: `nfq.raw` (netlink by hand, one verdict for a whole batch),
`nfq.library` (the netfilterqueue package), `nfq.fake` (no kernel, faults on demand).
"""

from dataclasses import dataclass
from typing import Protocol

from nfq.counters import QueueCounters
from nfq.held import ACCEPT, HeldBatch, Verdict

BATCH_LIMIT = 64
"""Packets a reader takes at most before it gives verdicts. With fewer a loaded reader pays more system calls, with
more the first packet of a burst waits for the last one to be read."""

WHOLE_PACKET_BYTES = 0xFFFF
"""Copy range for whole packets: a netlink attribute cannot be longer (kernel: nfqnl_set_mode cuts it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """How a queue is bound."""

    number: int
    """0 to 65535; one reader in the network namespace at a time."""
    default: Verdict = ACCEPT
    """What undecided packets get: `ACCEPT` where telemetry is read, `DROP` where policy would deny."""
    copy_bytes: int = WHOLE_PACKET_BYTES
    """How much of each packet is copied. Accepting a cut packet still lets the whole one go."""
    max_length: int = 1024
    """Packets the kernel holds at most; what comes then is dropped, or passes if the queue fails open. Two batches a
    millisecond keep it near 0, so 1024 is a reader that was away for tens of milliseconds at full load."""
    fail_open: bool = False
    """Full queue or full socket buffer: packets pass instead of being dropped (NFQA_CFG_F_FAIL_OPEN)."""
    gso: bool = False
    """Hand over packets larger than the MTU as they are, checksums unfinished (NFQA_CFG_F_GSO). Without it the kernel
    cuts them first, which costs TCP eight times its rate; but one such UDP packet holds several datagrams under one
    header, so a reader of DNS answers must not ask for it."""
    receive_buffer_bytes: int = 16 << 20
    """Socket buffer. The kernel's default of 208 KiB holds about 270 small packets, and the next ones are lost."""


class PacketQueue(Protocol):
    """A bound queue. When it is lost it stays lost: close it and open another one (`nfq.supervise`)."""

    @property
    def counters(self) -> QueueCounters:
        """Live counters, shared with whoever gave them to the queue."""

    @property
    def port(self) -> int:
        """The netlink port by which the kernel's table of queues names this reader."""

    def fileno(self) -> int:
        """Readable when packets wait; for a selector."""

    def receive(self, limit: int = BATCH_LIMIT) -> HeldBatch:
        """The packets that wait, at most `limit`, perhaps none; does not block. Ends the batch before, if it is open.

        Raises:
            QueueLostError: the socket is dead.
        """

    def close(self) -> None:
        """Ends the open batch and unbinds; the kernel drops what is still held. Safe to call twice."""
