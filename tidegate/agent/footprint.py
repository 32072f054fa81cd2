"""What a run leaves behind, written beside its socket, so that `remove` finds it when nobody is there to ask."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Where the state is, and which table and which way of routing are ours."""

    state: str
    table: str
    steering: tuple[int, int] | None = None
    """Mark and routing table of intercepted packets."""


def footprint_path(socket: Path) -> Path:
    """Beside the socket: `tidegate.sock` -> `tidegate.run`."""
    return socket.with_suffix(".run")


def write_footprint(socket: Path, footprint: Footprint) -> None:
    """Replaces it.

    Raises:
        OSError: it cannot be written.
    """
    path = footprint_path(socket)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(footprint)))
    scratch.rename(path)


def read_footprint(socket: Path) -> Footprint | None:
    """What the last run left; None where none did, or somebody took it away."""
    try:
        return Footprint(**json.loads(footprint_path(socket).read_text()))
    except (OSError, ValueError, TypeError):
        return None
