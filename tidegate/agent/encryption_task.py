"""Encryption between nodes, as the rest of the agent sees it: a task that need not be there.

What it is made of is loaded only where it is wanted: the library that keys need costs ten megabytes and some
hundredths of a second at the start.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from reconcile.clock import Clock
from tidegate.agent.key_publisher import ClusterKeys, FileKeys, KeyPublisher
from tidegate.agent.keys_back import KeysBack
from tidegate.agent.situation import Situation
from tidegate.config.wireguard import tunnels
from tidegate.store.kube.connection import Connection
from tidegate.sync.conditions import Conditions
from tidegate.sync.desired import Desired

_LEFT = "wireguard.json"
"""In the state directory: what is in the kernel, for a run that is configured otherwise and for `remove`."""


class EncryptionTask(Protocol):
    """Keeps the node's tunnels."""

    @property
    def is_done(self) -> bool:
        """The tunnels are as the documents of the moment want them."""

    def note_change(self) -> None:
        """Documents or links changed."""

    async def run(self) -> None:
        """Works until cancelled."""

    async def documents(self) -> list[Mapping[str, object]]:
        """What `tidegate wireguard` shows."""

    async def rotate(self) -> list[Mapping[str, object]]:
        """New keys, in force when this returns; what `documents` says then.

        Raises:
            OSError: a key cannot be written.
        """

    def close(self) -> None:
        """Gives back what it holds open; the tunnels stay."""


def encryption_task(
    situation: Situation, desired: Desired, conditions: Conditions, clock: Clock
) -> EncryptionTask | None:
    """The task; None where no encryption is configured, and then what a former run left of it is taken out.

    Raises:
        OSError: the kernel's routing tables cannot be opened, or the tunnels of a former run not removed.
    """
    wanted = tuple(tunnels(situation.settings))
    publisher = _publisher(situation, clock)
    if not wanted:
        remove_tunnels(situation.state)
        return None if publisher is None else KeysBack(publisher, desired, situation.node)
    made = importlib.import_module("tidegate.agent.encryption")
    world = made.World(
        node=situation.node,
        state=situation.state,
        desired=desired,
        conditions=conditions,
        clock=clock,
        publisher=publisher,
        rotation_seconds=situation.settings.wireguard_key_rotation_seconds,
    )
    task: EncryptionTask = made.Encryption(world, wanted)
    return task


def _publisher(situation: Situation, clock: Clock) -> KeyPublisher | None:
    """None where somebody else says what nodes are."""
    settings = situation.settings
    if settings.wireguard_node_file is not None:
        return FileKeys(settings.wireguard_node_file, situation.node)
    if settings.wireguard_publish_keys:
        connection = Connection(settings.kubeconfig, clock, f"tidegate/{situation.version}")
        return ClusterKeys(connection, situation.node)
    return None


def left_path(state: Path) -> Path:
    """Where a run writes down its tunnels."""
    return state / _LEFT


def remove_tunnels(state: Path) -> None:
    """Takes out the tunnels that a run of this state directory left; nothing happens where it left none.

    Raises:
        OSError: the kernel refused.
    """
    if left_path(state).exists():
        importlib.import_module("tidegate.agent.tunnels_left").take_all_out(state)
