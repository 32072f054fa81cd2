"""All collections of an API server as one source of documents.

    informers --> pending objects --> (stood still for a moment) --> LastValid --> updates and problems

What a cluster says means what files mean: an object that is not valid is not in force, or as it was last valid; the
name of its "file" is `resource.group/namespace/name`. What cannot be followed is told as a problem of its collection.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields

from reconcile.clock import Clock
from tidegate.store.entries import Entry
from tidegate.store.kube.connection import Connection
from tidegate.store.kube.informer import Informer, Tally
from tidegate.store.kube.kinds import Collection
from tidegate.store.last_valid import Changes, LastValid, Problem, ProblemKind
from tidegate.store.tree import StoreError

SETTLE_SECONDS = 0.02
"""Events come in bursts: `kubectl apply` of a directory, a deployment that rolls."""
BEGIN_SECONDS = 5.0
"""How long one look waits for the lists before it says what is missing."""
_SHOWN = 3
"""Troubles in one message."""


class KubeSource:
    """Holds state: the informers, what they told and was not taken yet, and what all of it means."""

    def __init__(
        self,
        connection: Connection,
        collections: Sequence[Collection],
        clock: Clock,
        chance: Callable[[], float],
        resync_seconds: float,
    ) -> None:
        self._connection = connection
        self._pending: dict[str, Entry | None] = {}
        self._news = asyncio.Event()
        self._state = asyncio.Event()
        self._meaning = LastValid()
        self._problems: tuple[Problem, ...] = ()
        self.informers = tuple(
            Informer(
                collection=collection,
                api=connection,
                deliver=self._deliver,
                on_state=self._on_state,
                clock=clock,
                chance=chance,
                resync_seconds=resync_seconds,
            )
            for collection in collections
        )

    @property
    def counters(self) -> dict[str, int]:
        """What following has cost, all collections together."""
        names = [each.name for each in fields(Tally)]
        return {f"kubernetes_{name}": sum(getattr(each.tally, name) for each in self.informers) for name in names}

    async def run(self) -> None:
        """Follows all collections; never ends."""
        try:
            async with asyncio.TaskGroup() as group:
                for informer in self.informers:
                    group.create_task(informer.run(), name=f"informer {informer.collection.name}")
        finally:
            await self._connection.close()

    async def begin(self) -> Changes:
        """Everything that is in force once all collections were listed; `run` must be running.

        Raises:
            StoreError: they were not, and why.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS):
                await self._all_synced()
        missing = [informer for informer in self.informers if not informer.is_synced]
        if missing:
            raise StoreError(_why(missing))
        return await self._take()

    async def changes(self) -> AsyncIterator[Changes]:
        """Yields whenever updates or problems have changed; never ends."""
        while True:
            await self._news.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            told = self._problems
            found = await self._take()
            if found.updates or found.problems != told:
                yield found

    async def _all_synced(self) -> None:
        while not all(informer.is_synced for informer in self.informers):
            self._state.clear()
            await self._state.wait()

    async def _take(self) -> Changes:
        self._news.clear()
        pending, self._pending = self._pending, {}
        documents = {name: None if entry is None else (entry,) for name, entry in pending.items()}
        changes = await asyncio.to_thread(self._meaning.take, documents)
        self._problems = (*map(_trouble, filter(_is_troubled, self.informers)), *changes.problems)
        return Changes(changes.updates, self._problems)

    def _deliver(self, changed: Mapping[str, Entry | None]) -> None:
        self._pending.update(changed)
        self._news.set()

    def _on_state(self) -> None:
        self._state.set()
        self._news.set()


def _is_troubled(informer: Informer) -> bool:
    return bool(informer.trouble)


def _trouble(informer: Informer) -> Problem:
    message = f"{informer.trouble} (still in force: what was there)"
    return Problem(
        kind=ProblemKind.STALE, file=informer.collection.name, index=0, line=0, path="", message=message
    )  # fmt: skip


def _why(missing: Sequence[Informer]) -> str:
    told = dict.fromkeys(informer.trouble or f"waiting for {informer.collection.name}" for informer in missing)
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return "; ".join(list(told)[:_SHOWN]) + more
