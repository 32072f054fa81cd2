"""Has a node's document say the keys of its WireGuard devices, so that the other nodes can encrypt to it (ADR 53)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from policy.resources.kube_node import WIREGUARD_KEYS
from tidegate.store.node_file import NodeFileError, annotate


class KeyPublisher:
    """Holds state: what was wrong at the last try. Blocks."""

    def __init__(self, file: Path, node: str) -> None:
        self.error = ""
        """Why the keys are not said; empty if they are."""
        self._file: Final = file
        self._node: Final = node

    def publish(self, keys: Mapping[int, str]) -> bool:
        """Says these keys by version of IP, and none for a version that is not there; whether that took a change."""
        said = {annotation: keys.get(version, "") for version, annotation in WIREGUARD_KEYS.items()}
        self.error = ""
        try:
            return annotate(self._file, self._node, said)
        except NodeFileError as error:
            self.error = str(error)
        return False
