"""Follows one collection of objects (Kubernetes: API concepts, "Efficient detection of changes").

    list in pages -> everything there is, at a version -> watch from that version on -> events, bookmarks
         ^                                                   |  ended by the server: watch on from the last version
         |                                                   |  410, an ERROR event, or time to compare: list again
         +---------------------------------------------------+  failure: wait (doubling, with jitter), then go on

A list says what is gone, so nothing that a watch missed stays wrong for longer than `resync_seconds`. While the server
cannot be asked, what it last said stays in force; `trouble` tells why.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconcile.clock import Clock
from reconcile.instant import Instant
from tidegate.store.entries import Entry, entry_of
from tidegate.store.kube.connection import OPENED, Api
from tidegate.store.kube.errors import FORBIDDEN, GONE, NOT_FOUND, KubeError
from tidegate.store.kube.kinds import Collection
from tidegate.store.kube.shelf import Shelf, Verdict, newest

PAGE_OBJECTS = 500
"""Of a list at a time, as kubectl asks for them: a page of pods is 2 to 5 MB."""
FIRST_DELAY_SECONDS = 0.1
MOST_DELAY_SECONDS = 30.0
ABSENT_POLL_SECONDS = 10.0
"""Between looks whether the definition of a kind has come."""
MAX_ABSENT = 3
"""Lists in a row that say that a kind is not there, until objects of that kind are believed to be gone."""
WATCH_SECONDS = 300.0
"""How long one watch lasts at least, at most twice that; so that those of many agents do not end together."""
IDLE_SECONDS = 150.0
"""Without a byte a watch is taken for broken: servers send bookmarks every minute."""
MAX_RESUMED = 8
"""Failures in a row after which a list is asked for, and not the rest of a watch: about ten seconds."""

Deliver = Callable[[Mapping[str, Entry | None]], None]
"""Told what objects say now, by `collection/namespace/name`; None for those that are gone."""


@dataclass(slots=True)
class Tally:
    """What following has cost."""

    lists: int = 0
    watches: int = 0
    events: int = 0
    old_events: int = 0
    """That said nothing new: duplicates, and what came late."""
    bookmarks: int = 0
    expired: int = 0
    """Times that a version was compacted away."""
    failures: int = 0
    missed: int = 0
    """Changes that no watch told and a list found."""


@dataclass(slots=True, kw_only=True)
class Informer:
    """Holds state: what is known of the collection. `run` never ends."""

    collection: Collection
    api: Api
    deliver: Deliver
    on_state: Callable[[], None]
    """Told when `is_synced` or `trouble` has changed."""
    clock: Clock
    chance: Callable[[], float]
    """A random number from 0 to 1."""
    resync_seconds: float
    is_synced: bool = False
    """The collection was listed once."""
    is_absent: bool = False
    """The server does not know the kind."""
    trouble: str = ""
    """Why what is known may be out of date."""
    tally: Tally = field(default_factory=Tally)
    _shelf: Shelf = field(default_factory=Shelf)
    _due: Instant = field(default=Instant(0))
    """When to list again, to compare."""
    _version: str = ""
    """Up to which everything is known; "" asks for a list."""
    _failures: int = 0
    _absences: int = 0

    async def run(self) -> None:
        """Follows the collection."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except KubeError as error:
                await asyncio.sleep(self._after(error))

    # --- Lists ---

    async def _list(self) -> None:
        """Everything there is, in pages of one version.

        Raises:
            KubeError: it cannot be listed.
        """
        was_synced = self.is_synced
        self.tally.lists += 1
        query = {"limit": str(PAGE_OBJECTS)}
        versions: dict[str, str] = {}
        changed: dict[str, Entry | None] = {}
        while True:
            page = await self._page(query, versions)
            meta, items = page.get("metadata") or {}, page.get("items") or []
            changed |= await asyncio.to_thread(self._news_of, items, versions)
            if not meta.get("continue"):
                break
            query = {"limit": str(PAGE_OBJECTS), "continue": str(meta["continue"])}
        self._version = str(meta.get("resourceVersion") or "0")
        changed = {name: entry for name, entry in changed.items() if name in versions}
        changed |= dict.fromkeys(self._shelf.replace(versions, self._version))
        self._due = Instant(self.clock.now() + self.resync_seconds * (1 + self.chance() / 5))
        if was_synced:
            self.tally.missed += len(changed)
        self._absences = 0
        self._tell(changed)
        self._failures = 0
        self._say(is_absent=False)

    async def _page(self, query: dict[str, str], versions: dict[str, str]) -> dict[str, Any]:
        """One page; where the pages before it have expired, everything in one piece (client-go does so too)."""
        try:
            return await self.api.fetch(self.collection.path, query)
        except KubeError as error:
            if error.status != GONE or "continue" not in query:
                raise
            self.tally.expired += 1
            versions.clear()
            return await self.api.fetch(self.collection.path, {})

    def _news_of(self, items: list[Any], versions: dict[str, str]) -> dict[str, Entry | None]:
        """Reads the objects of a page that are not known yet; in a thread, for it takes a while."""
        changed: dict[str, Entry | None] = {}
        for item in items:
            name, version = _identity(item)
            versions[name] = version
            if not self._shelf.has(name, version):
                changed[name] = self._entry(item)
        return changed

    # --- Watches ---

    async def _watch(self) -> None:
        """Follows from the last version on; returns when a list is due, with `_version` "".

        Raises:
            KubeError: it cannot be watched.
        """
        while self._version:
            left = self._due - self.clock.now()
            if left <= 0:
                self._version = ""
                return
            await self._follow(min(left, WATCH_SECONDS * (1 + self.chance())))

    async def _follow(self, seconds: float) -> None:
        """One watch, until the server ends it."""
        self.tally.watches += 1
        started, events = self.clock.now(), self.tally.events
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": self._version}
        query["timeoutSeconds"] = str(max(1, round(seconds)))
        async for event in self.api.stream(self.collection.path, query, IDLE_SECONDS):
            self._on_event(event)
        # A server that ends each watch at once is not asked as fast as it can refuse.
        if self.tally.events == events and self.clock.now() - started < min(seconds, 1):
            await asyncio.sleep(self._delay())
        else:
            self._failures = 0

    def _on_event(self, event: Mapping[str, Any]) -> None:
        kind, found = event.get("type"), event.get("object")
        if kind == OPENED:
            self._say(is_absent=False)
            return
        if kind == "ERROR" or not isinstance(found, dict):
            status = found.get("code") if isinstance(found, dict) else None
            message = found.get("message") if isinstance(found, dict) else "an event without an object"
            raise KubeError(status if isinstance(status, int) else 0, f"the watch ended: {message}")
        if kind == "BOOKMARK":
            self.tally.bookmarks += 1
            self._version = newest(self._version, str((found.get("metadata") or {}).get("resourceVersion") or ""))
        else:
            self._on_object(kind == "DELETED", found)

    def _on_object(self, is_deleted: bool, found: dict[str, Any]) -> None:  # noqa: FBT001 - one caller
        self.tally.events += 1
        name, version = _identity(found)
        verdict = self._shelf.remove(name, version) if is_deleted else self._shelf.put(name, version)
        self._version = newest(self._version, version)
        if verdict is Verdict.OLD:
            self.tally.old_events += 1
        else:
            self._tell({name: None if is_deleted else self._entry(found)})

    # --- What is told ---

    def _entry(self, item: dict[str, Any]) -> Entry:
        # The items of a list do not say what they are.
        return entry_of({**item, "apiVersion": self.collection.api_version, "kind": self.collection.kind})

    def _tell(self, changed: Mapping[str, Entry | None]) -> None:
        if changed:
            self.deliver({f"{self.collection.name}/{name}": entry for name, entry in changed.items()})

    def _say(self, *, is_absent: bool) -> None:
        """All is well, or is again."""
        if self.trouble or not self.is_synced or self.is_absent != is_absent:
            self.trouble, self.is_synced, self.is_absent = "", True, is_absent
            self.on_state()

    def _after(self, error: KubeError) -> float:
        """What follows from a failure: seconds to wait."""
        if error.status == NOT_FOUND and self.collection.is_custom:
            return self._absent()
        if error.status == GONE:
            self.tally.expired += 1
        # A connection that broke is gone on with; if that fails again and again, something is wrong with what comes.
        if error.status or self._failures >= MAX_RESUMED:
            self._version = ""
        self.tally.failures += 1
        told = f"cannot follow {self.collection.name}: {error}{_advice(error, self.collection)}"
        if error.status != GONE and told != self.trouble:
            self.trouble = told
            self.on_state()
        return self._delay()

    def _absent(self) -> float:
        """The kind is not defined. Objects that were there go only when that was said several times."""
        self._version = ""
        self._absences += 1
        names = self._shelf.names
        if names and self._absences < MAX_ABSENT:
            return self._delay()
        self._shelf.replace({}, "")
        self._tell(dict.fromkeys(names))
        self._failures = 0
        self._say(is_absent=True)
        return ABSENT_POLL_SECONDS * (0.5 + self.chance())

    def _delay(self) -> float:
        """Doubling, with jitter: so that the agents of a cluster do not all come back at once."""
        delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(self._failures, 20), MOST_DELAY_SECONDS)
        self._failures += 1
        return float(delay * (0.5 + self.chance() / 2))


def _identity(item: object) -> tuple[str, str]:
    """`namespace/name` and the version.

    Raises:
        KubeError: the item has none: this is no list of objects.
    """
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise KubeError(0, "cannot read an object without a name")
    return f"{metadata.get('namespace') or ''}/{metadata['name']}", str(metadata.get("resourceVersion") or "")


def _advice(error: KubeError, collection: Collection) -> str:
    if error.status != FORBIDDEN:
        return ""
    return f" (the agent's role needs the verbs list and watch on {collection.name})"
