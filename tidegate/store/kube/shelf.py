"""Which versions of a collection's objects are known: told what lists and watches say, it says what is news. Pure.

A watch may bring an event twice, or an old one late (a server behind a balancer that lags behind its neighbours). An
older version never replaces a newer one, and nothing that was deleted comes back by old news: versions are compared as
the numbers that they are (Kubernetes: KEP-5504, comparable resource versions). A version that is no number is always
news.
"""

from collections.abc import Mapping
from enum import StrEnum

MAX_TOMBSTONES = 4096
"""Objects deleted since the last list whose late events are known as such; beyond, the oldest is forgotten."""


class Verdict(StrEnum):
    """What an event is."""

    NEWS = "news"
    OLD = "old"


class Shelf:
    """Holds state: the version of each object, and which were deleted since the last list."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        self._tombstones: dict[str, str] = {}
        self._floor = ""
        """The version of the last list: events up to it are in it."""

    @property
    def names(self) -> frozenset[str]:
        """Objects that are there."""
        return frozenset(self._versions)

    def has(self, name: str, version: str) -> bool:
        """Whether exactly this version is known."""
        return bool(version) and self._versions.get(name) == version

    def replace(self, listed: Mapping[str, str], version: str) -> frozenset[str]:
        """Takes over a whole list, versions by name; returns the objects that are gone.

        A list is the truth whatever its versions are: those of a cluster that was restored from a backup go back.
        """
        gone = self.names - listed.keys()
        self._versions, self._tombstones, self._floor = dict(listed), {}, version
        return gone

    def put(self, name: str, version: str) -> Verdict:
        """An object was added or changed."""
        known = self._versions.get(name)
        if self._is_old(name, version) or (known is not None and _is_at_most(version, known)):
            return Verdict.OLD
        self._tombstones.pop(name, None)
        self._versions[name] = version
        return Verdict.NEWS

    def remove(self, name: str, version: str) -> Verdict:
        """An object was deleted, at this version."""
        known = self._versions.get(name)
        if known is None or self._is_old(name, version) or _is_newer(known, version):
            return Verdict.OLD
        del self._versions[name]
        self._tombstones[name] = version
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return Verdict.NEWS

    def _is_old(self, name: str, version: str) -> bool:
        """Whether it happened before the last list, or before the object was deleted."""
        return _is_at_most(version, self._floor) or _is_at_most(version, self._tombstones.get(name, ""))


def newest(one: str, other: str) -> str:
    """The later of two versions; the second where they cannot be compared."""
    return one if _is_newer(one, other) else other


def _is_newer(one: str, other: str) -> bool:
    return one.isdecimal() and other.isdecimal() and int(one) > int(other)


def _is_at_most(one: str, other: str) -> bool:
    return one.isdecimal() and other.isdecimal() and int(one) <= int(other)
