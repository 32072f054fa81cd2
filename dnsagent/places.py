"""Places for new elements: what has one, no bound refuses. Counted here, so that the kernel need not refuse.

judged: takes a place  ->  committed: the element table counts it, the place is free again
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, final

from dnsagent.element_table import ElementTable
from dnsagent.left_out import LeftOut
from dnsagent.plan import Plan
from reconcile.instant import Instant

FULL_SECONDS: Final = 1.0
"""A transaction that the kernel refuses costs 8 ms and more: one a second, at most, for a set that is full."""


@final
class Places:
    """Holds what was judged and not yet committed, and which sets the kernel called full."""

    def __init__(self, elements: ElementTable, counters: Counter[str]) -> None:
        self.left_out = LeftOut()
        """Who found no place."""
        self._elements = elements
        self._counters = counters
        self._of: dict[bytes, int] = {}
        """Places by packed endpoint address."""
        self._in: dict[str, int] = {}
        """The same by set."""
        self._count = 0
        self._full: dict[str, Instant] = {}
        """Sets that the kernel called full, and until when it is not asked again."""

    def take(self, set_name: str, source: bytes, plan: Plan, now: Instant) -> str:
        """Takes a place for a new element of the endpoint address `source`, "" if there is one.

        Otherwise the bound that is reached, counted.
        """
        of, inside = self._of.get(source, 0), self._in.get(set_name, 0)
        limits, elements, bound = plan.snapshot, self._elements, ""
        if elements.per_set.get(set_name, 0) + inside >= limits.set_size or set_name in self._full:
            bound = "cap-set"
        elif elements.per_owner.get(source, 0) + of >= limits.max_elements_per_endpoint:
            bound = "cap-endpoint"
        elif len(elements) + self._count >= limits.max_elements:
            bound = "cap-node"
        if bound:
            self._counters[bound] += 1
            endpoint = plan.endpoints.get(source)
            if endpoint is not None:
                self.left_out.note(bound, endpoint.id, now)
            return bound
        self._of[source] = of + 1
        self._in[set_name] = inside + 1
        self._count += 1
        return ""

    def clear(self) -> None:
        """What was judged is committed, or will not be."""
        self._of.clear()
        self._in.clear()
        self._count = 0

    def note_full(self, sets: Iterable[str], now: Instant) -> None:
        """The kernel had no room in these sets: what has expired takes places until it collects."""
        for name in sets:
            self._counters["kernel-set-full"] += 1
            self._full[name] = Instant(now + FULL_SECONDS)

    def expire(self, now: Instant) -> None:
        """The kernel may be asked again about sets that it called full a while ago."""
        if self._full:
            self._full = {name: until for name, until in self._full.items() if until > now}
