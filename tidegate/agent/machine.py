"""What the machine says about itself in /proc, for `doctor` and for status: small files, read and taken apart."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nfq.queue_table import KernelQueue, parse_queues

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_SYS_ADMIN = 21
CAPABILITY_NAMES = {CAP_NET_ADMIN: "CAP_NET_ADMIN", CAP_NET_RAW: "CAP_NET_RAW", CAP_SYS_ADMIN: "CAP_SYS_ADMIN"}

_NETLINK_NETFILTER = "12"


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

    def queues(self) -> Mapping[int, KernelQueue] | None:
        """The queues with listeners in this network namespace, by number; None if the kernel has no NFQUEUE."""
        path = "proc/thread-self/net/netfilter/nfnetlink_queue"
        return parse_queues(self.text(path)) if self.has(path) else None

    def logged_groups(self) -> frozenset[int] | None:
        """The NFLOG groups with listeners in this network namespace; None if the kernel has no NFLOG."""
        if not self.has("proc/thread-self/net/netfilter/nfnetlink_log"):
            return None
        return frozenset(
            int(line.split()[0]) for line in self._lines("proc/thread-self/net/netfilter/nfnetlink_log") if line.split()
        )

    def netlink_ports(self, pid: int) -> tuple[int, ...]:
        """The netlink ports of netfilter that a process has open.

        The kernel gives a process's first socket its pid for a port, and the others what it likes; who owns which is
        told only by the inodes of both.
        """
        rows = [line.split() for line in self._lines(f"proc/{pid}/net/netlink")[1:]]
        ports = {row[9]: int(row[2]) for row in rows if len(row) > 9 and row[1] == _NETLINK_NETFILTER}
        inodes = {target.removeprefix("socket:[").rstrip("]") for target in self._links(f"proc/{pid}/fd")}
        return tuple(sorted(port for inode, port in ports.items() if inode in inodes))

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

    def _links(self, path: str) -> Iterator[str]:
        """Where the links in a directory lead; those that vanish meanwhile are left out."""
        with suppress(OSError):
            for link in (self.root / path).iterdir():
                with suppress(OSError):
                    yield os.readlink(link)  # noqa: PTH115 - the target is no path

    def _lines(self, path: str) -> list[str]:
        return self.text(path).splitlines()
