"""Reads one line of JSON field by field, and says where a fault is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from tidegate.judge.errors import ProbeError


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object and the path that led to it."""

    values: Mapping[str, Any]
    path: str = ""

    @classmethod
    def parse(cls, line: str, known: frozenset[str]) -> "Fields":
        """Reads a line.

        Raises:
            ProbeError: it is no JSON object, or has fields that are not known.
        """
        try:
            values = json.loads(line)
        except ValueError as error:
            raise ProbeError("", f"cannot read JSON: {error}") from error
        except RecursionError as error:
            raise ProbeError("", "cannot read JSON: nested too deeply") from error
        return cls._checked(values, "", known)

    def nested(self, key: str, known: frozenset[str]) -> "Fields":
        """A field that must be there and be an object."""
        if key not in self.values:
            raise ProbeError(self._at(key), "is missing")
        return self._checked(self.values[key], self._at(key), known)

    def text(self, key: str) -> str | None:
        """A string that is not empty, or None where the field is absent."""
        value = self.values.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        raise ProbeError(self._at(key), f"cannot be {value!r}: a string is needed")

    def number(self, key: str, least: int, most: int) -> int | None:
        """An integer within bounds, or None where the field is absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise ProbeError(self._at(key), f"cannot be {value!r}: a number from {least} to {most} is needed")

    def truth(self, key: str) -> bool:
        """True or false; an absent field is false."""
        value = self.values.get(key, False)
        if isinstance(value, bool):
            return value
        raise ProbeError(self._at(key), f"cannot be {value!r}: true or false is needed")

    def address(self, key: str) -> IPv4Address | IPv6Address | None:
        """An address, or None where the field is absent."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return ip_address(text)
        except ValueError as error:
            raise ProbeError(self._at(key), f"cannot be {text!r}: an IP address is needed") from error

    def required(self, key: str) -> str:
        """A string that must be there."""
        value = self.text(key)
        if value is None:
            raise ProbeError(self._at(key), "is missing")
        return value

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    @staticmethod
    def _checked(values: object, path: str, known: frozenset[str]) -> "Fields":
        if not isinstance(values, dict):
            raise ProbeError(path, "cannot be read: an object is needed")
        for key in values:
            if key not in known:
                raise ProbeError(
                    f"{path}.{key}" if path else key, f"is not known; there are {', '.join(sorted(known))}"
                )
        return Fields(values, path)
