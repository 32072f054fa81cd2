"""How much the questions of an endpoint below one domain look like data carried in names. Pure.

A tunnel needs many different names, long ones, that look random; and types that bring much back. Of each endpoint and
parent domain the last minute is measured:

    part                          full marks            points
    different names               60                    30
    mean bytes below the parent   40                    25
    mean entropy, bits a byte     3.8                   20
    share of TXT, NULL and such   all                   15
    share of names unknown        all                   10

Below ten different names nobody is judged: some hosts of a CDN with hashes for names are no tunnel. The score is for a
person or a quarantine to act on, not a verdict: names of telemetry and of block lists look alike.
"""

import math
from collections import Counter, OrderedDict
from typing import final

from reconcile.instant import Instant

WINDOW_SECONDS = 60.0
MAX_WINDOWS = 8192
"""Endpoints times parents; at the bound the one that was asked longest ago goes."""
MAX_NAMES = 256
"""Different names remembered of a window; four times what gives full marks."""
LEAST_NAMES = 10
_CARRIERS = frozenset({10, 16, 5, 15, 25, 33, 65399})
"""NULL, TXT, CNAME, MX, KEY, SRV, and the private type of a known tunnel."""
_SECOND_LEVELS = frozenset({b"co", b"com", b"net", b"org", b"gov", b"edu", b"ac", b"or", b"ne", b"gob"})
"""Below a country these are registries' own: `example.co.uk` is a parent, `co.uk` is none."""


@final
class _Window:
    """A minute of one endpoint below one parent."""

    __slots__ = ("began_at", "carriers", "entropy", "is_told", "length", "names", "questions", "unknown")

    def __init__(self, began_at: Instant) -> None:
        self.began_at = began_at
        self.names: set[bytes] = set()
        self.questions = 0
        self.length = 0
        self.entropy = 0.0
        self.carriers = 0
        self.unknown = 0
        self.is_told = False


class TunnelWatch:
    """Holds the windows."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[str, bytes], _Window] = OrderedDict()
        self._quarantined: dict[tuple[str, bytes], Instant] = {}

    def note(self, endpoint: str, name: bytes, kind: int, now: Instant) -> int:
        """A question; the score of its endpoint and parent now, 0 to 100."""
        above, parent = split(name)
        if not above:
            return 0
        window = self._window((endpoint, parent), now)
        window.questions += 1
        window.carriers += kind in _CARRIERS
        if above not in window.names and len(window.names) < MAX_NAMES:
            window.names.add(above)
            window.length += len(above)
            window.entropy += entropy(above)
        return _score(window)

    def is_news(self, endpoint: str, name: bytes) -> bool:
        """Whether nobody was told of this minute's window yet; he is now."""
        window = self._windows.get((endpoint, split(name)[1]))
        if window is None or window.is_told:
            return False
        window.is_told = True
        return True

    def note_unknown(self, endpoint: str, name: bytes) -> None:
        """The name of a question noted before does not exist."""
        window = self._windows.get((endpoint, split(name)[1]))
        if window is not None:
            window.unknown += 1

    def quarantine(self, endpoint: str, name: bytes, until: Instant) -> None:
        """Nothing below the name's parent is to be asked by the endpoint until then."""
        if len(self._quarantined) < MAX_WINDOWS:
            self._quarantined[endpoint, split(name)[1]] = until

    def is_quarantined(self, endpoint: str, name: bytes, now: Instant) -> bool:
        """Whether the question must not go out."""
        if not self._quarantined:
            return False
        key = (endpoint, split(name)[1])
        until = self._quarantined.get(key)
        if until is not None and until <= now:
            del self._quarantined[key]
            return False
        return until is not None

    def scores(self, now: Instant, at_least: int = 1) -> list[tuple[str, bytes, int]]:
        """Endpoint, parent and score of every window that has one, the highest first."""
        found = [
            (endpoint, parent, _score(window))
            for (endpoint, parent), window in self._windows.items()
            if now - window.began_at < WINDOW_SECONDS
        ]
        return sorted((each for each in found if each[2] >= at_least), key=lambda each: (-each[2], each[0], each[1]))

    def _window(self, key: tuple[str, bytes], now: Instant) -> _Window:
        window = self._windows.get(key)
        if window is None or now - window.began_at >= WINDOW_SECONDS:
            if window is None and len(self._windows) >= MAX_WINDOWS:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(now)
        self._windows.move_to_end(key)
        return window


def split(name: bytes) -> tuple[bytes, bytes]:
    """A wire key as what stands before its parent, and the parent: the domain that somebody has registered, about."""
    starts, at = [], 0
    while at < len(name):
        starts.append(at)
        at += name[at] + 1
    labels = 2
    if len(starts) > 2:  # noqa: SIM102 - the reason below is about the second condition
        # Two letters are a country, where registries sell below a second level.
        if name[starts[-1]] == 2 and name[starts[-2] + 1 : starts[-1]] in _SECOND_LEVELS:
            labels = 3
    if len(starts) <= labels:
        return b"", name
    return name[: starts[-labels]], name[starts[-labels] :]


def entropy(data: bytes) -> float:
    """Bits a byte (Shannon)."""
    size = len(data)
    return -sum(count / size * math.log2(count / size) for count in Counter(data).values())


def _score(window: _Window) -> int:
    count = len(window.names)
    if count < LEAST_NAMES:
        return 0
    parts = (
        (count / 60, 30),
        (window.length / count / 40, 25),
        ((window.entropy / count - 2.5) / 1.3, 20),
        (window.carriers / window.questions, 15),
        (window.unknown / window.questions, 10),
    )
    return round(sum(max(0.0, min(1.0, part)) * points for part, points in parts))
