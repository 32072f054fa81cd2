"""Fetches what Log rules copied from the packet process, which reads it where packets wait for their records."""

from collections.abc import Callable
from typing import Any, final

from dnsagent.link import LinkError
from dnsagent.logged import read_copy
from tidegate.packetlog.reader import Taken
from tidegate.packetlog.unseen import Unseen

MAX_PAGES = 100
"""Of one look, so that records are shown and written while more come."""

_COUNTS = ("lost", "malformed", "unread", "dropped", "received")


@final
class LogFetcher:
    """A source of copies, as `LogThread` is one; all of it blocks."""

    def __init__(self, page: Callable[[str, int], dict[str, Any]], came: Callable[[], int | None]) -> None:
        """Asks nobody yet.

        Args:
            page: gives the copies behind a number of a packet process's life, and confirms those up to it; raises
                `LinkError`.
            came: how many packets the rules have sent to wait; None while that cannot be told.
        """
        self.error = ""
        """Why nothing is fetched; "" while it is."""
        self.gap = ""
        self._page = page
        self._came = came
        self._unseen = Unseen()
        self._life, self._last = "", 0
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._before = dict.fromkeys(_COUNTS, 0)
        """By the packet process that works now, and by those before it."""

    def start(self) -> None:
        """The packet process is read when it is there."""

    def close(self) -> None:
        """What comes from now on is the next run's."""

    def take(self) -> list[Taken]:
        """What was copied since the last time, oldest first. What is given out is confirmed by the next time."""
        found: list[Taken] = []
        came = self._came()
        for _ in range(MAX_PAGES):
            try:
                page = self._page(self._life, self._last)
            except LinkError as error:
                self.error = str(error)
                break
            self.error = ""
            self._note(page)
            found += [read_copy(each) for each in page["copies"]]
            if not page["copies"]:
                break
        self._unseen.look(came, self._total("received") if self._life else None)
        return found

    @property
    def lost(self) -> int:
        """Copies that were made and are nowhere."""
        return self._total("lost")

    @property
    def malformed(self) -> int:
        """Messages of the kernel that could not be read."""
        return self._total("malformed")

    @property
    def unread(self) -> int:
        """Packets that had their verdict while nobody could read their copies."""
        return self._total("unread")

    @property
    def unseen(self) -> int:
        """Packets that passed, or were dropped, as `logOverflow` says, because nobody took them from the queue."""
        return self._unseen.count

    @property
    def dropped(self) -> int:
        """Packets dropped because a copy of theirs might be lost (`logOverflow: drop`)."""
        return self._total("dropped")

    def _total(self, name: str) -> int:
        return self._before[name] + self._counts[name]

    def _note(self, page: dict[str, Any]) -> None:
        if page["life"] != self._life:
            for name in _COUNTS:  # another packet process counts from zero
                self._before[name] += self._counts[name]
        self._counts = {name: int(page[name]) for name in _COUNTS}
        self._life, self._last = str(page["life"]), int(page["last"])
