"""How far the world has followed: numbered generations of the plan, and the highest that is fully in force."""

from typing import NewType

Generation = NewType("Generation", int)
"""Counts the changes of a plan, from 1; 0 is the time before the first."""

BEFORE_ANY = Generation(0)


class Watermark:
    """Hands out generations and notes which is in force. Never goes back: a later plan contains the earlier ones."""

    def __init__(self) -> None:
        self._wanted = BEFORE_ANY
        self._applied = BEFORE_ANY

    @property
    def wanted(self) -> Generation:
        """The plan's present generation."""
        return self._wanted

    @property
    def applied(self) -> Generation:
        """Everything up to this one is in force."""
        return self._applied

    @property
    def is_level(self) -> bool:
        """Whether the world has followed all the way."""
        return self._applied == self._wanted

    def advance(self) -> Generation:
        """The plan has changed; its new generation."""
        self._wanted = Generation(self._wanted + 1)
        return self._wanted

    def reach(self, generation: Generation) -> None:
        """That generation is in force, and with it all before it.

        Raises:
            ValueError: the plan was never so far.
        """
        if generation > self._wanted:
            raise ValueError(f"cannot have applied generation {generation}: the plan is at {self._wanted}")
        self._applied = max(self._applied, generation)

    def is_reached(self, generation: Generation) -> bool:
        """Whether that generation is in force."""
        return generation <= self._applied
