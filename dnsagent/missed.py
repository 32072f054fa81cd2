"""First packets that came before their address was learned, counted in the mode that holds nothing (`NoDelay`).

Such a packet is denied and sent again by its client, a second later. Copies of some denied packets tell which: the same
pair of addresses was learned shortly after the packet, or so shortly before that both were under way at once. Ports are
not compared: a packet to a closed port of an address that is being learned counts too.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable

from dnsagent.learn import Element
from nfq.errors import PacketError
from nfq.packet import five_tuple
from reconcile.instant import Instant

DENIED_BEFORE_SECONDS = 3.0
"""Clients send again after 1 s and 3 s (RFC 6298); what is learned later came for another connection."""
LEARNED_BEFORE_SECONDS = 0.05
"""A copy is read after the answers that were there with it; a packet denied later than this met other rules."""
MAX_REMEMBERED = 1024
"""Pairs of each kind; the oldest make room, and are not counted."""


class MissedPackets:
    """Remembers who was denied what lately, and what was learned a moment ago. The caller tells the time."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._denied: OrderedDict[bytes, Instant] = OrderedDict()
        self._learned: OrderedDict[bytes, Instant] = OrderedDict()

    def note_denied(self, packet: memoryview, now: Instant) -> None:
        """The copy of a first packet that policy denied."""
        try:
            flow = five_tuple(packet)
        except PacketError:
            return
        pair = flow.source + flow.destination
        learned_at = self._learned.get(pair)
        if learned_at is not None and now - learned_at <= LEARNED_BEFORE_SECONDS:
            self._counters["first-packet-missed"] += 1
            return
        _put(self._denied, pair, now)

    def note_learned(self, elements: Iterable[Element], now: Instant) -> None:
        """These are open now."""
        for element in elements:
            if element.is_present:
                continue
            pair = element.key[1]
            denied_at = self._denied.pop(pair, None)
            if denied_at is not None and now - denied_at <= DENIED_BEFORE_SECONDS:
                self._counters["first-packet-missed"] += 1
            _put(self._learned, pair, now)


def _put(pairs: OrderedDict[bytes, Instant], pair: bytes, now: Instant) -> None:
    pairs[pair] = now
    pairs.move_to_end(pair)
    if len(pairs) > MAX_REMEMBERED:
        pairs.popitem(last=False)
