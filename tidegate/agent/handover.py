"""From one packet process to the next without a moment in which nobody reads (docs/adr/0039).

The process stays, its program is replaced (execve(2)): its sockets stay bound to their queues, and packets wait in them
for the third of a second that the next program takes to start. By their descriptors it knows which is which.
"""

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dnsagent.packet_loop import Readers

ANSWERS, DENIED, NAMED, LOG = "answers", "denied", "named", "log"
LOGGED, COPIES = "logged", "copies"
NOTHING: Mapping[str, int] = MappingProxyType({})
FLAG = "--sockets"


def leave(command: Sequence[str], readers: Readers) -> None:
    """Runs the program in this one's place. Does not return.

    Raises:
        OSError: it cannot be run.
    """
    bound = {
        ANSWERS: readers.answers,
        DENIED: readers.denied,
        NAMED: readers.named,
        LOG: readers.log,
        LOGGED: readers.logged,
        COPIES: readers.copies,
    }
    left: dict[str, int] = {}
    for name, reader in bound.items():
        descriptor = None if reader is None else reader.fileno()
        if descriptor is not None:
            left[name] = os.dup(descriptor)
            os.set_inheritable(left[name], True)  # noqa: FBT003 - the standard library's own
    os.execv(command[0], [*command, FLAG, written(left)])  # noqa: S606


def written(sockets: Mapping[str, int]) -> str:
    """The descriptors as one word of a command."""
    return ",".join(f"{name}={descriptor}" for name, descriptor in sockets.items())


def read(text: str) -> dict[str, int]:
    """The descriptors of such a word.

    Raises:
        ValueError: it is none.
    """
    pairs = [pair.split("=") for pair in text.split(",") if pair]
    return {name: int(descriptor) for name, descriptor in pairs}
