"""Where nothing is encrypted: the keys that a former run said are taken back, for there is no device to encrypt to."""

import asyncio
from collections.abc import Mapping

import structlog

from policy.resources.kube_node import WIREGUARD_KEYS, Node
from tidegate.agent.key_publisher import KeyPublisher, PublishError
from tidegate.sync.desired import Desired

RETRY_SECONDS = 30.0


class KeysBack:
    """In the place of the task that encrypts. Holds state: whether documents have changed."""

    def __init__(self, publisher: KeyPublisher, desired: Desired, node: str) -> None:
        self._publisher = publisher
        self._desired = desired
        self._node = node
        self._changed = asyncio.Event()

    @property
    def is_done(self) -> bool:
        """Nobody waits for it."""
        return True

    def note_change(self) -> None:
        """Documents changed."""
        self._changed.set()

    async def run(self) -> None:
        """Looks at each change until cancelled."""
        try:
            while True:
                self._changed.clear()
                if self._desired.is_in_sync and self._is_said():
                    await self._take_back()
                await self._changed.wait()
        finally:
            await self._publisher.close()

    async def documents(self) -> list[Mapping[str, object]]:
        """There is no device."""
        return []

    async def rotate(self) -> list[Mapping[str, object]]:
        """There is no key."""
        return []

    def close(self) -> None:
        """`run` has closed what was open."""

    def _is_said(self) -> bool:
        own = (item for item in self._desired.resources.values() if isinstance(item, Node))
        return any(node.metadata.name == self._node and _says_any(node) for node in own)

    async def _take_back(self) -> None:
        while True:
            try:
                await self._publisher.publish({})
            except PublishError as error:
                structlog.get_logger().error("keys not taken out of the node's document", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


def _says_any(node: Node) -> bool:
    return any(node.wireguard_key(version) for version in WIREGUARD_KEYS)
