"""Which selectors match which items, kept up to date as either side changes, without trying each against each.

Selectors are filed under one label that they demand (`policy.selectors.restrict`), items under all of their labels. A
changed item is tried only against the selectors filed under its labels and those that demand nothing; a new selector
only against the items that have the rarest of the labels it demands.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from policy.selectors import Selector
from policy.selectors.restrict import Demands, demands

ItemT = TypeVar("ItemT", bound=Hashable)
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MatchChanged(Generic[ItemT]):
    """A selector began or ceased to match an item."""

    selector: Selector
    item: ItemT
    is_match: bool


class SelectorIndex(Generic[ItemT]):
    """All selectors of interest, all items, and their matches."""

    def __init__(self) -> None:
        self._labels: dict[ItemT, Labels] = {}
        self._items_by_label: dict[str, dict[str, dict[ItemT, None]]] = {}
        self._demands: dict[Selector, Demands] = {}
        self._filed: dict[tuple[str, str | None] | None, dict[Selector, None]] = {}
        self._items_of: dict[Selector, dict[ItemT, None]] = {}
        self._selectors_of: dict[ItemT, dict[Selector, None]] = {}

    # --- Questions ---

    def items_of(self, selector: Selector) -> Collection[ItemT]:
        """What a known selector matches."""
        return self._items_of[selector]

    def selectors_of(self, item: ItemT) -> Iterable[Selector]:
        """What matches an item; nothing for unknown items."""
        return self._selectors_of.get(item, ())

    # --- Changes ---

    def add(self, selector: Selector) -> Iterable[ItemT]:
        """Files a new selector; answers with what it matches."""
        wanted = demands(selector.expression)
        self._demands[selector] = wanted
        for place in _places(wanted):
            self._filed.setdefault(place, {})[selector] = None
        matched = {item: None for item in self._candidates(wanted) if selector.matches(self._labels[item])}
        self._items_of[selector] = matched
        for item in matched:
            self._selectors_of[item][selector] = None
        return tuple(matched)

    def discard(self, selector: Selector) -> None:
        """Forgets a selector and its matches."""
        for place in _places(self._demands.pop(selector)):
            _unfile(self._filed, place, selector)
        for item in self._items_of.pop(selector):
            del self._selectors_of[item][selector]

    def on_labels(self, item: ItemT, labels: Labels | None) -> Iterator[MatchChanged[ItemT]]:
        """An item's labels came, changed or went (None); ends before it begins."""
        if labels == self._labels.get(item):
            return
        before = self._selectors_of.get(item, {})
        self._refile(item, labels)
        after = {} if labels is None else self._matching(labels)
        if labels is None:
            self._selectors_of.pop(item, None)
        else:
            self._selectors_of[item] = after
        for selector in before:
            if selector not in after:
                del self._items_of[selector][item]
                yield MatchChanged(selector, item, is_match=False)
        for selector in after:
            if selector not in before:
                self._items_of[selector][item] = None
                yield MatchChanged(selector, item, is_match=True)

    def _matching(self, labels: Labels) -> dict[Selector, None]:
        places: list[tuple[str, str | None] | None] = [None]
        for label, value in labels.items():
            places += ((label, value), (label, None))
        filed = (self._filed.get(place, {}) for place in places)
        return {selector: None for selectors in filed for selector in selectors if selector.matches(labels)}

    def _refile(self, item: ItemT, labels: Labels | None) -> None:
        for label, value in self._labels.pop(item, {}).items():
            by_value = self._items_by_label[label]
            _unfile(by_value, value, item)
            if not by_value:
                del self._items_by_label[label]
        if labels is None:
            return
        self._labels[item] = labels
        for label, value in labels.items():
            self._items_by_label.setdefault(label, {}).setdefault(value, {})[item] = None

    def _candidates(self, wanted: Demands) -> Iterable[ItemT]:
        """The items with the demanded label that the fewest items have; all, if nothing is demanded."""
        choices = [self._items_with(label, values) for label, values in wanted.items()]
        if not choices:
            return self._labels
        rarest = min(choices, key=lambda posting: sum(map(len, posting)))
        return (item for items in rarest for item in items)

    def _items_with(self, label: str, values: frozenset[str] | None) -> list[dict[ItemT, None]]:
        by_value = self._items_by_label.get(label, {})
        if values is None:
            return list(by_value.values())
        return [by_value[value] for value in sorted(values) if value in by_value]


KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT", bound=Hashable)


def _unfile(files: dict[KeyT, dict[ValueT, None]], key: KeyT, value: ValueT) -> None:
    del files[key][value]
    if not files[key]:
        del files[key]


def _places(wanted: Demands) -> list[tuple[str, str | None] | None]:
    """Where a selector is filed: under one demanded label, for each value it may have.

    A label with few values is the best guess at a rare one; Calico's own labels (the namespace above all) are shared by
    more items than what people write.
    """
    if not wanted:
        return [None]
    label, values = min(wanted.items(), key=_rareness)
    return [(label, None)] if values is None else [(label, value) for value in sorted(values)]


def _rareness(demand: tuple[str, frozenset[str] | None]) -> tuple[bool, bool, int, str]:
    label, values = demand
    return (values is None, label.startswith("projectcalico.org/"), len(values or ()), label)
