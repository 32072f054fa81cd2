"""What happened on a queue or a log group since it was first bound. Counters outlive rebinds and only ever grow."""

from dataclasses import dataclass


@dataclass(slots=True)
class QueueCounters:
    """Of one queue; shared by its bindings one after the other."""

    received: int = 0
    accepted: int = 0
    dropped: int = 0
    repeated: int = 0
    rewritten: int = 0
    """Verdicts with a new payload; also counted under their action."""
    kept: int = 0
    """Packets that outlived their batch; their verdict is counted when it is given."""
    lost_verdicts: int = 0
    """Verdicts that found a dead socket: the kernel dropped these packets."""
    refused_verdicts: int = 0
    """Verdicts the kernel answered with an error: the packet was gone (a base chain was deleted under it)."""
    overruns: int = 0
    """Times the kernel said ENOBUFS: the reader was too slow for the socket's buffer."""
    missed: int = 0
    """Packets the kernel could not put into the buffer: dropped, or passed unseen where the queue fails open."""
    malformed: int = 0
    """Messages that were not what the kernel promises."""
    kernel_dropped: int = 0
    """Packets dropped because the queue was full, as the kernel's table of queues told at the last look."""
    kernel_undelivered: int = 0
    """Packets dropped because the socket's buffer was full, by the same table; `missed` knows them sooner."""
    rebinds: int = 0
    """Times the queue was bound anew after it was lost."""
    failed_binds: int = 0


@dataclass(slots=True)
class LogCounters:
    """Of one log group; shared by its bindings one after the other."""

    received: int = 0
    lost: int = 0
    """Copies the kernel numbered and could not hand over; known with the copy behind them."""
    undelivered: int = 0
    """Messages that found the socket's buffer full, each with as many copies as the kernel gathers; known at once."""
    overruns: int = 0
    """Times the kernel said ENOBUFS."""
    malformed: int = 0
    """Messages that were not what the kernel promises."""
    rebinds: int = 0
    """Times the group was bound anew after it was lost."""
    failed_binds: int = 0
