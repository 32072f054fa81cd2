"""The task that keeps this node's WireGuard devices as the documents want them, and tells how they are.

    documents, links ---> note_change ---> round: TunnelKeeper.apply, one for each version of IP ---> conditions

Imported only where encryption is configured: keys need a library of ten megabytes.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

import structlog

from reconcile.clock import Clock
from tidegate.agent import tunnels_left
from tidegate.agent.key_publisher import KeyPublisher, PublishError
from tidegate.agent.tunnel_keeper import TunnelKeeper
from tidegate.config.wireguard import TunnelSettings
from tidegate.sync.conditions import Conditions, ConditionType
from tidegate.sync.desired import Desired
from tidegate.sync.tunnels import unpublished
from wg.errors import WireGuardError
from wg.host import Host

T = TypeVar("T")

LOOK_SECONDS = 30.0
"""Between looks at what others may have changed, and at who answers."""
RETRY_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""Documents come in bursts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where the task looks, and whom it tells."""

    node: str
    state: Path
    """The directory for keys, and for word of what was put into the kernel."""
    desired: Desired
    conditions: Conditions
    clock: Clock
    publisher: KeyPublisher | None = None
    """Who has this node's document say its keys; None where somebody else does."""
    rotation_seconds: float = 0.0
    """After which a key is replaced; 0 is never."""


@final
class Encryption:
    """Holds state: the devices. All that blocks is done in one thread, in this process's network namespace."""

    def __init__(self, world: World, tunnels: Sequence[TunnelSettings]) -> None:
        """Opens the kernel's routing tables.

        Raises:
            WireGuardError: not allowed.
        """
        self._world = world
        self._host = Host()
        self._keepers = [TunnelKeeper(settings, self._host, world.state, world.node) for settings in tunnels]
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wireguard")
        self._changed = asyncio.Event()
        self._is_clean = False
        """What former runs left was taken out."""
        self._is_done = False
        self._is_published = False
        self._unpublished = ""
        """Why the others are not told the keys; empty if they are."""

    @property
    def is_done(self) -> bool:
        """The devices are as the documents of the moment want them."""
        return self._is_done and not self._changed.is_set()

    def note_change(self) -> None:
        """Documents or links changed."""
        self._changed.set()

    async def run(self) -> None:
        """Keeps the devices until cancelled."""
        try:
            await self._keep()
        finally:
            if self._world.publisher is not None:
                await self._world.publisher.close()

    async def _keep(self) -> None:
        looks = True
        while True:
            self._changed.clear()
            # Nothing is touched before all documents were read: half of them would cut the other half off.
            if self._world.desired.is_in_sync:
                await self._round(looks=looks)
            try:
                # Not by `wait_for`, which before Python 3.12 forgets that it was cancelled if a change comes just then.
                async with asyncio.timeout(LOOK_SECONDS if self._is_done else RETRY_SECONDS):
                    await self._changed.wait()
                looks = False
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                looks = True

    def close(self) -> None:
        """Lets go of the devices, which stay."""
        self._thread.shutdown()
        for keeper in self._keepers:
            keeper.close()
        self._host.close()

    async def documents(self) -> list[Mapping[str, object]]:
        """What `tidegate wireguard` shows."""
        wall = self._world.clock.wall()
        return await self._in_thread(lambda: [keeper.document(wall) for keeper in self._keepers])

    async def rotate(self) -> list[Mapping[str, object]]:
        """New keys for all devices, in force when this returns; what `documents` says then.

        Raises:
            OSError: a key cannot be written.
        """

        def work() -> None:
            for keeper in self._keepers:
                keeper.rotate()

        await self._in_thread(work)
        await self._round(looks=False)
        return await self.documents()

    async def _round(self, *, looks: bool) -> None:
        before = [keeper.error for keeper in self._keepers]
        resources, links = tuple(self._world.desired.resources.values()), self._world.desired.links
        wall = self._world.clock.wall()

        def work() -> None:
            self._clean()
            for keeper in self._keepers:
                if 0 < self._world.rotation_seconds <= keeper.key_age(wall):
                    self._rotate(keeper)
                keeper.apply(resources, links, wall, looks=looks)

        await self._in_thread(work)
        await self._publish()
        self._tell(before)
        self._is_done = not any(keeper.error for keeper in self._keepers)

    @staticmethod
    def _rotate(keeper: TunnelKeeper) -> None:
        try:
            keeper.rotate()
        except OSError as error:
            # The old key is as good as before; the next look tries again.
            structlog.get_logger().error("key not replaced", interface=keeper.settings.interface, error=str(error))

    async def _publish(self) -> None:
        """Says the keys that the devices have, once each has one: half of them would take the other half out.

        Once for each run, because a version that is not encrypted any more is not looked at; then where it is needed.
        """
        publisher, keys = self._world.publisher, {each.settings.version: each.public_key for each in self._keepers}
        is_said = self._is_published and all(keeper.is_published for keeper in self._keepers)
        if publisher is None or is_said or not all(keys.values()):
            return
        try:
            await publisher.publish({version: str(key) for version, key in keys.items()})
        except PublishError as error:
            self._unpublished = str(error)
        else:
            self._is_published, self._unpublished = True, ""

    def _clean(self) -> None:
        """Takes out what former runs left, once, and writes down what this one will leave."""
        if self._is_clean:
            return
        log, wanted = structlog.get_logger(), [keeper.settings for keeper in self._keepers]
        left = tunnels_left.read(self._world.state)
        try:
            tunnels_left.take_out(self._host, tunnels_left.obsolete(left, wanted), wanted)
            tunnels_left.write(self._world.state, wanted)
        except (WireGuardError, OSError) as error:
            # What is left of a former tunnel must not keep this one from coming up; the next round tries again.
            log.warning("former tunnels not removed", error=str(error))
            return
        self._is_clean = True

    def _tell(self, before: Sequence[str]) -> None:
        log, now = structlog.get_logger(), self._world.clock.wall()
        for keeper, former in zip(self._keepers, before, strict=True):
            if keeper.error and keeper.error != former:
                log.error("tunnel refused", interface=keeper.settings.interface, error=keeper.error)
        told = [condition for keeper in self._keepers for condition in keeper.conditions()]
        if self._unpublished:
            told.append(unpublished(self._unpublished))
        for of_type in (ConditionType.ENCRYPTION, ConditionType.NOT_ENCRYPTED):
            self._world.conditions.replace(of_type, [item for item in told if item.type is of_type], now)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
