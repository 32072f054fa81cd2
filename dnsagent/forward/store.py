"""Replies kept for as long as they say (negative ones: RFC 2308), and longer to bridge an outage (RFC 8767).

Bounded in bytes; at the bound the reply that was used longest ago goes. Pure: the caller tells the time.
"""

from collections import OrderedDict
from typing import final

from dnsagent.forward.messages import Layout, aged, with_ttl
from reconcile.instant import Instant

STALE_TTL = 30
"""What a stale reply says of itself (RFC 8767 4)."""
_OVERHEAD_BYTES = 400
"""Of the objects around a reply, as measured."""


@final
class Kept:
    """A reply as it came, and when."""

    __slots__ = ("at", "data", "kept_seconds", "ttls")

    def __init__(self, data: bytes, layout: Layout, at: Instant) -> None:
        self.data = data
        self.ttls = layout.ttls
        self.kept_seconds = layout.kept_seconds
        self.at = at

    def at_age(self, now: Instant) -> bytes:
        """The reply with the TTLs that are left."""
        return aged(self.data, self.ttls, int(now - self.at))

    def stale(self) -> bytes:
        """The reply with a short TTL, past its time."""
        return with_ttl(self.data, self.ttls, STALE_TTL)


class ReplyStore:
    """Replies by the key of their query."""

    def __init__(self, max_bytes: int, stale_seconds: float = 0.0) -> None:
        """`stale_seconds`: how long behind its time a reply may still be used; 0 is never."""
        self.max_bytes = max_bytes
        self.stale_seconds = stale_seconds
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0
        self.evicted = 0
        """Replies that went before their time."""

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def used_bytes(self) -> int:
        """What they take, about."""
        return self._bytes

    def put(self, key: bytes, data: bytes, layout: Layout, now: Instant) -> None:
        """Keeps a reply in place of the one before, if it may be kept at all."""
        if layout.kept_seconds <= 0:
            return
        self.drop(key)
        self._kept[key] = Kept(data, layout, now)
        self._bytes += _size(key, data)
        while self._bytes > self.max_bytes and self._kept:
            self.drop(next(iter(self._kept)))
            self.evicted += 1

    def fresh(self, key: bytes, now: Instant) -> Kept | None:
        """The reply, if its time is not over."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        age = now - kept.at
        if age >= kept.kept_seconds:
            if age >= kept.kept_seconds + self.stale_seconds:
                self.drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def stale(self, key: bytes, now: Instant) -> Kept | None:
        """The reply even if its time is over, but not for too long: for when nobody answers (RFC 8767 5)."""
        kept = self._kept.get(key)
        if kept is None or now - kept.at >= kept.kept_seconds + self.stale_seconds:
            return None
        return kept

    def drop(self, key: bytes) -> None:
        """Forgets a reply."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= _size(key, kept.data)

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._bytes = 0


def _size(key: bytes, data: bytes) -> int:
    return len(key) + len(data) + _OVERHEAD_BYTES
