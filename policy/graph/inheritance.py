"""Labels in force: own labels and those of profiles, kept up to date from both ends.

profile's labels --+
                   +--> labels of every item that has the profile
item, its profiles +
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from policy.graph.items import ItemID
from policy.labels import inherited

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where an item's labels come from."""

    own: Labels
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelsChanged:
    """The labels in force; None when the item is gone."""

    item: ItemID
    labels: Labels | None


class LabelInheritance:
    """Holds all items and profiles; answers every change with the items whose labels changed by it.

    Cost: of an item's change, its labels; of a profile's, the labels of all items that have the profile.
    """

    def __init__(self) -> None:
        self._items: dict[ItemID, Lineage] = {}
        self._in_force: dict[ItemID, Labels] = {}
        self._profiles: dict[str, Labels] = {}
        self._heirs: dict[str, dict[ItemID, None]] = {}

    def labels_of(self, item: ItemID) -> Labels | None:
        """The labels in force; None for an unknown item."""
        return self._in_force.get(item)

    def on_item(self, item: ItemID, lineage: Lineage | None) -> Iterator[LabelsChanged]:
        """An item came, changed or went (None)."""
        self._disinherit(item)
        if lineage is None:
            if self._in_force.pop(item, None) is not None:
                yield LabelsChanged(item, None)
            return
        self._items[item] = lineage
        for profile in lineage.profiles:
            self._heirs.setdefault(profile, {})[item] = None
        yield from self._recompute(item)

    def on_profile(self, name: str, labels: Labels | None) -> Iterator[LabelsChanged]:
        """A profile's labels came, changed or went (None)."""
        if labels == self._profiles.get(name):
            return
        if labels is None:
            del self._profiles[name]
        else:
            self._profiles[name] = labels
        for item in tuple(self._heirs.get(name, ())):
            yield from self._recompute(item)

    def _disinherit(self, item: ItemID) -> None:
        lineage = self._items.pop(item, None)
        if lineage is None:
            return
        for profile in set(lineage.profiles):
            heirs = self._heirs[profile]
            del heirs[item]
            if not heirs:
                del self._heirs[profile]

    def _recompute(self, item: ItemID) -> Iterator[LabelsChanged]:
        lineage = self._items[item]
        known = (self._profiles[name] for name in lineage.profiles if name in self._profiles)
        labels = inherited(lineage.own, known)
        if labels != self._in_force.get(item):
            self._in_force[item] = labels
            yield LabelsChanged(item, labels)
