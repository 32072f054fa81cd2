"""A mapping whose entries stay as long as somebody holds them, and that remembers what changed."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class Counted(Generic[K, V]):
    """Holds state. Whoever holds a key says its value; all who hold it must come to say the same."""

    _values: dict[K, V] = field(default_factory=dict)
    _users: Counter[K] = field(default_factory=Counter)
    _before: dict[K, V | None] = field(default_factory=dict)
    """The value at the last `take` of each key touched since; `None` if there was none."""

    def hold(self, key: K, value: V) -> None:
        """One more user of the key, with the value it has from now on."""
        self._users[key] += 1
        self._note(key)
        self._values[key] = value

    def release(self, key: K) -> None:
        """One user less; with the last one the key goes.

        Raises:
            KeyError: nobody holds the key.
        """
        if self._users[key] == 1:
            self._note(key)
            del self._users[key]
            del self._values[key]
        elif key in self._users:
            self._users[key] -= 1
        else:
            raise KeyError(key)

    def take(self) -> dict[K, V | None]:
        """Keys whose value is another than at the last `take`; `None` is gone."""
        changed = {key: self._values.get(key) for key, old in self._before.items() if self._values.get(key) != old}
        self._before.clear()
        return changed

    def values(self) -> Mapping[K, V]:
        """Everything held now."""
        return self._values

    def _note(self, key: K) -> None:
        if key not in self._before:
            self._before[key] = self._values.get(key)
