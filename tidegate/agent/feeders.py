"""The tasks that tell the apply loop what has happened: documents and routes (`commits` has other programs' commits).

Each ends only when cancelled. What goes wrong in the world (a directory that is gone) is a condition; what goes wrong
in us is raised, and ends the program.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from policy.resources.felix import FelixConfiguration
from policy.resources.kube_node import Node
from policy.resources.metadata import Resource, ResourceKey
from reconcile.clock import Clock
from tidegate.config import felix
from tidegate.config.sources import Given
from tidegate.store.last_valid import Changes, Problem, ProblemKind
from tidegate.store.source import Source
from tidegate.store.tree import StoreError
from tidegate.sync import service_servers
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.desired import Desired
from tidegate.sync.effects import Effects
from tidegate.sync.links import link_changes, read_links
from tidegate.sync.loop import ApplyLoop

Configure = Callable[[Sequence[Given]], bool]
"""Told what documents say about the configuration; whether another run follows for it."""

Serve = Callable[[service_servers.Resources], bool]
"""Told that documents of Services are others; whether another run follows for it."""

RETRY_SECONDS = 1.0
_CONFIGURING = frozenset((FelixConfiguration.KIND, Node.KIND))
"""Kinds that say how a node is configured: a selector looks at the node's labels."""
SETTLE_SECONDS = 0.05
"""Links and routes come in bursts: a new pod is a dozen events."""


def _nothing() -> None:
    """Nobody else is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeders:
    """What they share."""

    node: str
    desired: Desired
    effects: Effects
    loop: ApplyLoop
    conditions: Conditions
    clock: Clock
    listeners: Sequence[Callable[[ResourceKey, Resource | None], None]] = ()
    """Others who are told of each document that came, changed or went (None)."""
    on_change: Callable[[], None] = _nothing
    """Told as well, whenever documents or links changed."""
    links_read: asyncio.Event = field(default_factory=asyncio.Event)
    """The routes were looked at once: the first step has the interfaces of all pods that have one."""

    async def documents(self, source: Source, configure: Configure, serve: Serve) -> None:
        """Feeds what the files say: everything, then each change. Stops where they ask for another configuration."""
        self._take(await self._load(source))
        await self.links_read.wait()
        if configure(self._configuration()) or serve(self.desired.resources):
            return
        self.desired.in_sync()
        self.on_change()
        self._say(ConditionType.SOURCES_IN_SYNC, is_true=True, reason="InSync")
        self.loop.note_change()
        async for changes in source.changes():
            self.loop.note_change()
            self._take(changes)
            self.on_change()
            kinds = {update.key.kind for update in changes.updates}
            if not kinds.isdisjoint(_CONFIGURING) and configure(self._configuration()):
                return
            if not kinds.isdisjoint(service_servers.KINDS) and serve(self.desired.resources):
                return

    def _configuration(self) -> tuple[Given, ...]:
        """What the documents of the moment say about this node's configuration."""
        resources = self.desired.resources
        own = resources.get(ResourceKey(Node.KIND, "", self.node))
        configurations = [item for item in resources.values() if isinstance(item, FelixConfiguration)]
        return felix.givens(configurations, self.node, {} if own is None else own.metadata.labels)

    async def links(self) -> None:
        """Feeds the kernel's links and routes."""
        async with link_changes() as changed:
            while True:
                changed.clear()
                self.desired.on_links(await read_links())
                self.links_read.set()
                self.on_change()
                if self.desired.has_news:
                    self.loop.note_change()
                await changed.wait()
                await asyncio.sleep(SETTLE_SECONDS)

    async def _load(self, source: Source) -> Changes:
        log = structlog.get_logger()
        while True:
            try:
                return await source.begin()
            except StoreError as error:
                log.warning("resources not read", error=str(error), retry_seconds=RETRY_SECONDS)
                self._say(ConditionType.SOURCES_IN_SYNC, is_true=False, reason="Unreadable", message=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    def _take(self, changes: Changes) -> None:
        for update in changes.updates:
            self.desired.on_update(update.key, update.resource)
            self.effects.on_update(update.key, update.resource)
            for listener in self.listeners:
                listener(update.key, update.resource)
        now = self.clock.wall()
        for kind, of_type in (
            (ProblemKind.INVALID, ConditionType.INVALID_RESOURCE),
            (ProblemKind.STALE, ConditionType.STALE_RESOURCE),
        ):
            problems = [problem for problem in changes.problems if problem.kind is kind]
            self.conditions.replace(of_type, _as_conditions(of_type, problems), now)
        self.conditions.replace(ConditionType.NOT_ENFORCED, self.effects.idle, now)
        self.conditions.replace(ConditionType.TIER_MISSING, self.effects.missing_tiers, now)
        structlog.get_logger().info("resources read", updates=len(changes.updates), problems=len(changes.problems))

    def _say(self, of_type: ConditionType, *, is_true: bool, reason: str, message: str = "") -> None:
        condition = Condition(type=of_type, is_true=is_true, reason=reason, message=message)
        self.conditions.put(condition, self.clock.wall())


def _as_conditions(of_type: ConditionType, problems: Iterable[Problem]) -> list[Condition]:
    return [
        Condition(
            type=of_type,
            is_true=True,
            reason="Invalid",
            message=f"line {problem.line}: {problem.message}" if problem.line else problem.message,
            subject=problem.subject,
            path=problem.path,
        )
        for problem in problems
    ]
