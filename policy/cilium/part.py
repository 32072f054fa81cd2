"""A part of a document together with its path, read with suspicion: it comes from a file."""

from collections.abc import Iterator
from dataclasses import dataclass

from policy.cilium.remarks import CannotError


@dataclass(frozen=True, slots=True)
class Part:
    """A value of a document as JSON would have it, and where it stands."""

    value: object
    path: str

    def get(self, name: str) -> "Part | None":
        """A field of this mapping; None if it is absent or null.

        Raises:
            CannotError: this is no mapping.
        """
        value = self._mapping().get(name)
        return None if value is None else Part(value, f"{self.path}.{name}" if self.path else name)

    def only(self, *names: str) -> None:
        """Checks that there is no other field.

        Raises:
            CannotError: there is one, or this is no mapping.
        """
        for name in self._mapping():
            if name not in names:
                raise CannotError(f"{self.path}.{name}", "has no counterpart")

    def fields(self) -> Iterator[tuple[str, "Part"]]:
        """The fields of this mapping.

        Raises:
            CannotError: this is none.
        """
        for name, value in self._mapping().items():
            yield name, Part(value, f"{self.path}['{name}']")

    def items(self) -> "list[Part]":
        """The items of this list.

        Raises:
            CannotError: this is none.
        """
        if not isinstance(self.value, list):
            raise CannotError(self.path, "must be a list")
        return [Part(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]

    def text(self) -> str:
        """This text, or a number as text.

        Raises:
            CannotError: this is neither.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, str | int):
            raise CannotError(self.path, "must be a text")
        return str(self.value)

    def texts(self) -> list[str]:
        """The texts of this list.

        Raises:
            CannotError: it is none, or holds something else.
        """
        return [item.text() for item in self.items()]

    def flag(self) -> bool:
        """This flag.

        Raises:
            CannotError: it is none.
        """
        if not isinstance(self.value, bool):
            raise CannotError(self.path, "must be true or false")
        return self.value

    def _mapping(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise CannotError(self.path, "must be a mapping")
        return self.value
