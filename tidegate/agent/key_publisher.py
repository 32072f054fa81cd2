"""Who has a node's document say the keys of its WireGuard devices, so that other nodes can encrypt to it (ADR 53)."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from policy.resources.kube_node import WIREGUARD_KEYS
from tidegate.store.kube.connection import Connection
from tidegate.store.kube.errors import KubeError
from tidegate.store.node_file import NodeFileError, annotate


class PublishError(Exception):
    """The keys could not be said, and why."""


class KeyPublisher(Protocol):
    """Says keys by version of IP; of a version that is not among them it says none."""

    async def publish(self, keys: Mapping[int, str]) -> None:
        """Says these, whatever was said before.

        Raises:
            PublishError: they are not said.
        """

    async def close(self) -> None:
        """Gives back what it holds open."""


class FileKeys:
    """In the node's own file."""

    def __init__(self, file: Path, node: str) -> None:
        self._file = file
        self._node = node

    async def publish(self, keys: Mapping[int, str]) -> None:
        """See `KeyPublisher`. A file that says them already is not touched."""
        try:
            await asyncio.to_thread(annotate, self._file, self._node, _annotations(keys))
        except NodeFileError as error:
            raise PublishError(str(error)) from error

    async def close(self) -> None:
        """Nothing is held open."""


class ClusterKeys:
    """At the node's object in the API server; needs the verb `patch` on it."""

    def __init__(self, connection: Connection, node: str) -> None:
        self._connection = connection
        self._path = f"/api/v1/nodes/{quote(node, safe='')}"

    async def publish(self, keys: Mapping[int, str]) -> None:
        """See `KeyPublisher`."""
        said = {name: value or None for name, value in _annotations(keys).items()}
        try:
            await self._connection.merge(self._path, {"metadata": {"annotations": said}})
        except KubeError as error:
            raise PublishError(f"cannot write the node's annotations: {error}") from error

    async def close(self) -> None:
        """Closes the connections."""
        await self._connection.close()


def _annotations(keys: Mapping[int, str]) -> dict[str, str]:
    return {annotation: keys.get(version, "") for version, annotation in WIREGUARD_KEYS.items()}
