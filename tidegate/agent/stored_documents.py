"""What documents said about configuration when they were last read: a run begins with it (docs/adr/0026).

A process has one configuration from its start (ADR 15), but reads documents only when it runs. So it keeps what they
say in its state directory, and starts again when they say something else.
"""

from collections.abc import Sequence
from pathlib import Path

from tidegate.config import felix
from tidegate.config.sources import Given

_NAME = "configuration.json"


def read(state: Path | None) -> tuple[Given, ...]:
    """What was stored; nothing where there is nothing that can be read: the documents will say it anew."""
    if state is None:
        return ()
    try:
        return felix.restored((state / _NAME).read_text())
    except (OSError, ValueError):
        return ()


def write(state: Path, given: Sequence[Given]) -> None:
    """Replaces what is stored.

    Raises:
        OSError: it cannot be written.
    """
    state.mkdir(parents=True, exist_ok=True)
    scratch = state / f"{_NAME}.new"
    scratch.write_text(felix.stored(given))
    scratch.rename(state / _NAME)
