"""The learner's elements in the kernel: one transaction for all, element by element where that is refused."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from dnsagent.cache import ElementKey
from dnsagent.learn import Element
from nft.elements import Change, Operation
from nft.errors import NftError
from reconcile.instant import Instant

CHUNK = 4096
"""Elements in a transaction that nobody waits for: a longer one would keep answers waiting for the commit lock."""


class SetWriter(Protocol):
    """What is needed of `nft.elements.ElementWriter`."""

    def write(self, changes: Sequence[Change]) -> None:
        """One transaction."""


class KernelSets:
    """Writes elements and counts what the kernel refused. Holds no elements itself."""

    def __init__(self, writer: SetWriter, counters: Counter[str]) -> None:
        self._writer = writer
        self._counters = counters

    def write(self, elements: Sequence[Element], now: Instant) -> list[Element]:
        """Those that are in the kernel when this returns: all of them, as a rule."""
        latest = _latest(elements)
        if not latest:
            return []
        if self._try([_change(element, now) for element in latest]):
            return latest
        # A failed transaction says nothing about its other elements, and costs 8 ms: better that than all of them lost.
        return [element for element in latest if self._try([_change(element, now)])]

    def restore(self, elements: Sequence[Element], now: Instant) -> list[Element]:
        """The same for many, in transactions short enough for answers to come between."""
        done: list[Element] = []
        for start in range(0, len(elements), CHUNK):
            done += self.write(elements[start : start + CHUNK], now)
        return done

    def delete(self, keys: Iterable[ElementKey]) -> None:
        """Deletes elements that are known to be present; one that has just expired costs a retry one by one."""
        changes = [Change(Operation.DELETE, set_name, key) for set_name, key in keys]
        for start in range(0, len(changes), CHUNK):
            chunk = changes[start : start + CHUNK]
            if not self._try(chunk):
                for change in chunk:
                    self._try([change])

    def _try(self, changes: Sequence[Change]) -> bool:
        try:
            self._writer.write(changes)
        except NftError:
            self._counters["program-failed"] += 1
            return False
        return True


def _latest(elements: Sequence[Element]) -> list[Element]:
    """One element for each key, the one that lives longest: a transaction may name a key once."""
    if len(elements) < 2:
        return list(elements)
    latest: dict[ElementKey, Element] = {}
    for element in elements:
        before = latest.get(element.key)
        if before is None or before.deadline < element.deadline:
            latest[element.key] = element
    return list(latest.values())


def _change(element: Element, now: Instant) -> Change:
    # The kernel rounds down to its tick: a deadline must not pass before ours.
    lifetime_ms = int((element.deadline - now) * 1000) + 1
    operation = Operation.REFRESH if element.is_present else Operation.ADD
    set_name, key = element.key
    return Change(operation, set_name, key, max(1, lifetime_ms))
