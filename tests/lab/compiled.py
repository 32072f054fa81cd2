"""Compiled modules that stand beside their sources: whoever edits a source and tests what was compiled tests nothing."""

from collections.abc import Iterator
from pathlib import Path

ROOMS = ("dnsagent", "nfq", "nft", "netlink")


def stale(root: Path) -> list[str]:
    """Sources that were written after they were compiled, relative to the root."""
    return sorted(str(source.relative_to(root)) for room in ROOMS for source in _stale(root / room))


def _stale(room: Path) -> Iterator[Path]:
    for module in room.glob("*.so"):
        source = room / f"{module.name.split('.')[0]}.py"
        if not source.exists() or source.stat().st_mtime > module.stat().st_mtime:
            yield source
