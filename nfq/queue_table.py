"""The kernel's own table of queues: who reads which, how many packets wait, how many were lost.

/proc/net/netfilter/nfnetlink_queue has a row for each bound queue of the network namespace (kernel:
nfnetlink_queue.c, seq_show): number, port, waiting, copy mode, copy range, dropped, user dropped, last id, 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE_PATH = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")
"""Of the calling thread's namespace; /proc/net would be that of the process's first thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelQueue:
    """One bound queue; its counters begin anew with each binding."""

    number: int
    port: int
    """The netlink port of its reader."""
    waiting: int
    """Packets held now."""
    dropped: int
    """Packets dropped because so many were held already as the queue may hold."""
    undelivered: int
    """Packets dropped because the reader's socket buffer was full."""
    last_id: int


def parse_queues(text: str) -> dict[int, KernelQueue]:
    """The rows by queue number; rows that are not what the kernel writes are left out."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 8 or not all(word.isdecimal() for word in words[:8]):
            continue
        number, port, waiting, _, _, dropped, undelivered, last_id = map(int, words[:8])
        found[number] = KernelQueue(
            number=number, port=port, waiting=waiting, dropped=dropped, undelivered=undelivered, last_id=last_id
        )
    return found


def read_queues(path: Path = TABLE_PATH) -> Mapping[int, KernelQueue] | None:
    """The table now; `None` where it cannot be read, as in a container without /proc."""
    try:
        return parse_queues(path.read_text(encoding="ascii"))
    except OSError:
        return None
