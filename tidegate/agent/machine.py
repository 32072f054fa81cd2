"""What the machine says about itself in /proc, for `doctor` and for status: small files, read and taken apart."""

from dataclasses import dataclass
from pathlib import Path

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_SYS_ADMIN = 21
CAPABILITY_NAMES = {CAP_NET_ADMIN: "CAP_NET_ADMIN", CAP_NET_RAW: "CAP_NET_RAW", CAP_SYS_ADMIN: "CAP_SYS_ADMIN"}


@dataclass(frozen=True, slots=True)
class QueueState:
    """One NFQUEUE queue that has a listener (net/netfilter/nfnetlink_queue.c: seq_show)."""

    number: int
    port: int
    """Netlink port of the listener."""
    waiting: int
    dropped_full: int
    """Packets that found the queue full."""
    dropped_unread: int
    """Packets that found the listener's socket full."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A root of files; tests have one of their own."""

    root: Path = Path("/")

    def capabilities(self) -> frozenset[int]:
        """The effective capabilities of this process, by number."""
        for line in self._lines("proc/self/status"):
            if line.startswith("CapEff:"):
                mask = int(line.split()[1], 16)
                return frozenset(bit for bit in range(64) if mask >> bit & 1)
        return frozenset()

    def queues(self) -> tuple[QueueState, ...] | None:
        """The queues with listeners in this network namespace; None if the kernel has no NFQUEUE."""
        if not self.has("proc/net/netfilter/nfnetlink_queue"):
            return None
        rows = [list(map(int, line.split())) for line in self._lines("proc/net/netfilter/nfnetlink_queue")]
        return tuple(QueueState(row[0], row[1], row[2], row[5], row[6]) for row in rows if len(row) > 6)

    def logged_groups(self) -> frozenset[int] | None:
        """The NFLOG groups with listeners in this network namespace; None if the kernel has no NFLOG."""
        if not self.has("proc/net/netfilter/nfnetlink_log"):
            return None
        return frozenset(
            int(line.split()[0]) for line in self._lines("proc/net/netfilter/nfnetlink_log") if line.split()
        )

    def number(self, path: str) -> int | None:
        """A file that holds one number; None where there is no such file."""
        words = self.text(path).split()
        return int(words[0]) if words and words[0].lstrip("-").isdigit() else None

    def text(self, path: str) -> str:
        """A file's text; empty where it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace")
        except OSError:
            return ""

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).exists()

    def _lines(self, path: str) -> list[str]:
        return self.text(path).splitlines()
