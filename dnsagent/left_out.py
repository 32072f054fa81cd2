"""Which endpoints were told addresses that stay closed because a bound is reached: for status, which names a few."""

from typing import Final, final

from reconcile.instant import Instant

RECENT_SECONDS: Final = 300.0
"""So long it is told; whoever is still at the bound is left out again well before, whenever it resolves."""
MAX_ENDPOINTS: Final = 16
"""Of each bound. At more, who was left out longest ago is not told of any more; the counters count on."""


@final
class LeftOut:
    """The latest time by bound and endpoint; the bounds are the learner's counters `cap-*`."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Instant]] = {}
        """By bound, then endpoint id; who was left out last stands last."""

    def note(self, bound: str, endpoint: str, now: Instant) -> None:
        """An address stays closed for that endpoint."""
        latest = self._latest.get(bound)
        if latest is None:
            latest = self._latest[bound] = {}
        latest.pop(endpoint, None)
        latest[endpoint] = now
        if len(latest) > MAX_ENDPOINTS:
            del latest[next(iter(latest))]

    def forget(self) -> None:
        """The bounds are others now."""
        self._latest.clear()

    def recent(self, now: Instant) -> dict[str, list[str]]:
        """Endpoints by bound, the latest first; no bound that nobody has met for `RECENT_SECONDS`."""
        since = now - RECENT_SECONDS
        found = {
            bound: [endpoint for endpoint, at in reversed(latest.items()) if at > since]
            for bound, latest in self._latest.items()
        }
        return {bound: endpoints for bound, endpoints in found.items() if endpoints}
