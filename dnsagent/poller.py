"""Which descriptors are ready, and who serves them: epoll, without the layers above it.

The standard library's selector costs 5 us a round in Python of its own, twice for every answer.
"""

import select
from collections.abc import Callable
from typing import Final, final

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT
_EVENTS_PER_ROUND: Final = 64

Handler = Callable[[int], None]
"""Serves a ready descriptor; gets the events as epoll has them: besides READABLE and WRITABLE errors and hang-ups."""


@final
class Poller:
    """Descriptors with their handlers. Owns an epoll descriptor; not for two threads at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}

    def __len__(self) -> int:
        """Descriptors watched."""
        return len(self._handlers)

    def close(self) -> None:
        """Watches nothing any more. Safe to call twice."""
        self._handlers.clear()
        self._epoll.close()

    def watch(self, descriptor: int, handler: Handler, *, events: int = READABLE) -> None:
        """Has the handler called when the descriptor is ready; replaces what was said of the descriptor before.

        Raises:
            OSError: the descriptor is closed, or cannot be waited for.
        """
        if descriptor in self._handlers:
            try:
                self._epoll.modify(descriptor, events)
            except FileNotFoundError:
                # It was closed behind our back, and its number has been given to another.
                self._epoll.register(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def unwatch(self, descriptor: int) -> None:
        """Forgets the descriptor, which may be closed already."""
        if self._handlers.pop(descriptor, None) is None:
            return
        try:
            self._epoll.unregister(descriptor)
        except OSError:
            return  # it was closed, and epoll forgot it by itself

    def handler(self, descriptor: int) -> Handler | None:
        """Who serves the descriptor now; ask before each call, because handlers watch and unwatch."""
        return self._handlers.get(descriptor)

    def wait(self, timeout_seconds: float) -> list[tuple[int, int]]:
        """Descriptors that are ready, each with its events; none after the time."""
        ready: list[tuple[int, int]] = self._epoll.poll(timeout_seconds, _EVENTS_PER_ROUND)
        return ready
