"""Who is in the sets that the graph tells by differences. Lean: a set may have a hundred thousand members."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nft.model import Key
from tidegate.render.fragment import ElementChange


@dataclass(slots=True)
class Members:
    """Holds state: the elements of each set, and what was added and removed since the last `take`."""

    _keys: dict[str, set[Key]] = field(default_factory=dict)
    _added: dict[str, set[Key]] = field(default_factory=dict)
    _removed: dict[str, set[Key]] = field(default_factory=dict)

    def update(self, name: str, added: frozenset[Key], removed: frozenset[Key]) -> None:
        """Changes a set, which appears with its first change. What is there already, or gone, changes nothing."""
        keys = self._keys.setdefault(name, set())
        self._leave(name, keys & removed)
        self._enter(name, added - keys)

    def replace(self, name: str, keys: frozenset[Key]) -> None:
        """Says all members of a set."""
        have = frozenset(self._keys.get(name, ()))
        self.update(name, keys - have, have - keys)

    def drop(self, name: str) -> None:
        """Forgets a set."""
        self._leave(name, set(self._keys.get(name, ())))
        self._keys.pop(name, None)

    def take(self) -> dict[str, ElementChange]:
        """The changes since the last time, of sets that are gone as well."""
        changed = {
            name: ElementChange(frozenset(self._added.get(name, ())), frozenset(self._removed.get(name, ())))
            for name in self._added.keys() | self._removed.keys()
        }
        self._added.clear()
        self._removed.clear()
        return {name: change for name, change in changed.items() if change != ElementChange()}

    def whole(self) -> Mapping[str, frozenset[Key]]:
        """Every set's members now."""
        return {name: frozenset(keys) for name, keys in self._keys.items()}

    def _enter(self, name: str, keys: frozenset[Key] | set[Key]) -> None:
        if not keys:
            return
        self._keys[name] |= keys
        removed = self._removed.setdefault(name, set())
        self._added.setdefault(name, set()).update(keys - removed)
        removed -= keys

    def _leave(self, name: str, keys: set[Key]) -> None:
        if not keys:
            return
        self._keys[name] -= keys
        added = self._added.setdefault(name, set())
        self._removed.setdefault(name, set()).update(keys - added)
        added -= keys
