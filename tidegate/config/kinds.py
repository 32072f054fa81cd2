"""The types of settings: how each reads what people write, and how it is shown.

A value comes from YAML (already a number, a boolean, a list) or from the environment and flags (always text), so every
kind reads both. Durations are Go durations as in Calico's resources ("1m30s", "50ms"); a bare number has the unit that
Calico's environment form gives it, which is named with the setting.
"""

# ruff: noqa: TRY004 - a wrong type in a file is wrong input like any other, and callers look for one error only

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Generic, TypeVar

from nft.expr import RateLimit

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

Shown = str | int | float | bool | list[str] | None
"""What a value looks like in JSON."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How one type of setting is read and shown; `parse` raises ValueError with what is wrong."""

    says: str
    """For people: "duration", "true or false"."""
    parse: Callable[[object], T]
    show: Callable[[T], Shown]


def boolean() -> Kind[bool]:
    """`true` or `false`, in the words that YAML and shells use."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

    def parse(raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        try:
            return words[str(raw).strip().lower()]
        except KeyError:
            raise ValueError(f"{raw!r} is neither true nor false") from None

    return Kind("true or false", parse, lambda value: value)


def integer(least: int, most: int, *, is_hex: bool = False) -> Kind[int]:
    """A whole number within bounds, decimal or `0x...`."""

    def parse(raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            raise ValueError(f"{raw!r} is not a whole number")
        try:
            value = int(raw, 0) if isinstance(raw, str) else raw
        except ValueError:
            raise ValueError(f"{raw!r} is not a whole number") from None
        if not least <= value <= most:
            raise ValueError(f"{value} is not between {least} and {most}")
        return value

    return Kind(f"{least} to {most}", parse, lambda value: f"{value:#010x}" if is_hex else value)


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def duration(bare_unit: str = "s", least_seconds: float = 0.0) -> Kind[float]:
    """A Go duration, in seconds; `bare_unit` is that of a number without one."""

    def parse(raw: object) -> float:
        seconds = _duration(raw, bare_unit)
        if seconds < least_seconds:
            raise ValueError(f"{raw!r} is less than {show_duration(least_seconds)}")
        return seconds

    return Kind(f"duration (a bare number counts {bare_unit})", parse, show_duration)


def _duration(raw: object, bare_unit: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError(f"{raw!r} is not a duration like 1m30s")
    text = str(raw).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) * _UNITS[bare_unit]
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{raw!r} is not a duration like 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """The duration in its largest whole unit: `1h`, `90s`, `50ms`. Below a nanosecond is nothing."""
    nanoseconds = round(seconds * 1e9)
    for unit in ("h", "m", "s", "ms", "us"):
        size = round(_UNITS[unit] * 1e9)
        if nanoseconds >= size and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def choice(values: type[E]) -> Kind[E]:
    """One of the words, in any case (as Calico takes them)."""
    known = {item.value.lower(): item for item in values}

    def parse(raw: object) -> E:
        try:
            return known[str(raw).strip().lower()]
        except KeyError:
            raise ValueError(f"{raw!r} is none of {', '.join(item.value for item in values)}") from None

    return Kind(", ".join(item.value for item in values), parse, lambda value: value.value)


def text(pattern: str = r".*", says: str = "text") -> Kind[str]:
    """Text that matches the pattern."""

    def parse(raw: object) -> str:
        if not isinstance(raw, str | int | float) or isinstance(raw, bool):
            raise ValueError(f"{raw!r} is not text")
        if re.fullmatch(pattern, str(raw)) is None:
            raise ValueError(f"{raw!r} is not {says}")
        return str(raw)

    return Kind(says, parse, lambda value: value)


def path() -> Kind[Path | None]:
    """A path; empty is none."""

    def parse(raw: object) -> Path | None:
        if not isinstance(raw, str | Path):
            raise ValueError(f"{raw!r} is not a path")
        return Path(raw) if str(raw) else None

    return Kind("path", parse, lambda value: None if value is None else str(value))


def directory() -> Kind[Path]:
    """A path that must be given."""

    def parse(raw: object) -> Path:
        if not isinstance(raw, str | Path) or not str(raw):
            raise ValueError(f"{raw!r} is not a path")
        return Path(raw)

    return Kind("path", parse, str)


def network() -> Kind[IPv4Network | IPv6Network]:
    """A network or an address; host bits must be zero, for a slip there is likely a slip elsewhere."""

    def parse(raw: object) -> IPv4Network | IPv6Network:
        try:
            return ip_network(str(raw).strip())
        except ValueError as error:
            raise ValueError(f"{raw!r} is not a network: {error}") from None

    return Kind("network", parse, str)


def listed(item: Kind[T]) -> Kind[tuple[T, ...]]:
    """A YAML list, or text with commas; the word `none` and the empty text are the empty list (Calico's file form)."""

    def parse(raw: object) -> tuple[T, ...]:
        if isinstance(raw, str):
            words = [word.strip() for word in raw.split(",")]
            raw = [] if words in ([""], ["none"]) else words
        if not isinstance(raw, list | tuple):
            raise ValueError(f"{raw!r} is not a list")
        return tuple(item.parse(entry) for entry in raw)

    return Kind(f"list of: {item.says}", parse, lambda value: [str(item.show(entry)) for entry in value])


def rate() -> Kind[RateLimit | None]:
    """`N/second`, `N/minute`, `N/hour`, `N/day`, N from 1 to 9999; `none` is no limit (Calico: LogActionRateLimit)."""

    def parse(raw: object) -> RateLimit | None:
        if raw is None or str(raw).strip().lower() in ("", "none"):
            return None
        found = re.fullmatch(r"([1-9]\d{0,3})/(second|minute|hour|day)", str(raw).strip())
        if found is None:
            raise ValueError(f"{raw!r} is not a rate like 10/minute")
        return RateLimit(int(found[1]), found[2], burst_packets=5)

    return Kind(
        "rate like 10/minute, or none", parse, lambda value: f"{value.packets}/{value.unit}" if value else "none"
    )
