"""Asks every case with a real socket: thousands at once, because a denied one is only known by waiting."""

import itertools
import resource
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tidegate.demo.namespace import Namespace
from tidegate.truth.cases import TCP, Case
from tidegate.truth.stage import Namespaces

AT_ONCE = 4096
"""Sockets open at the same time; with the listeners they must fit into the files that the process may open."""
WAIT_SECONDS = 0.8
"""For an answer. Within one machine it takes microseconds; the agent never holds a packet of these probes."""
REPEAT_SECONDS = 3.0
REPEATS = 2
_RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"
_FILES_TO_SPARE = 512


def allow_files(listeners: int) -> None:
    """Raises the process's limit of open files to what listeners and probes need.

    Raises:
        OSError, ValueError: the machine does not permit so many.
    """
    needed = listeners + AT_ONCE + _FILES_TO_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))


def observe(pods: Namespaces, asked: Sequence[Case], expected: Sequence[bool]) -> tuple[bool, ...]:
    """Whether each connection came about, in the order of the cases.

    A connection that is expected and does not come about is tried again with more patience: a busy machine is late, but
    policy never changes its mind. One that is not expected is tried once; that it opens even once is a difference.
    """
    opened = _round(pods, asked, range(len(asked)), WAIT_SECONDS)
    for _ in range(REPEATS):
        late = [index for index, hoped in enumerate(expected) if hoped and index not in opened]
        if late:
            opened |= _round(pods, asked, late, REPEAT_SECONDS)
    return tuple(index in opened for index in range(len(asked)))


def _round(pods: Namespaces, asked: Sequence[Case], chosen: Sequence[int], seconds: float) -> set[int]:
    in_order = sorted(chosen, key=lambda index: asked[index].source.id)
    opened: set[int] = set()
    for start in range(0, len(in_order), AT_ONCE):
        opened |= _wave(pods, asked, in_order[start : start + AT_ONCE], seconds)
    return opened


def _wave(pods: Namespaces, asked: Sequence[Case], chosen: Sequence[int], seconds: float) -> set[int]:
    """Starts them all, then collects answers until `seconds` after the last start."""
    with ExitStack() as stack:
        ready = stack.enter_context(selectors.DefaultSelector())
        for source, group in itertools.groupby(chosen, key=lambda index: asked[index].source.id):
            indices = list(group)
            for index, client in zip(indices, _sockets(pods[source], [asked[i] for i in indices]), strict=True):
                stack.enter_context(client)
                if _is_started(client, asked[index]):
                    waits_for = selectors.EVENT_WRITE if asked[index].port.protocol == TCP else selectors.EVENT_READ
                    ready.register(client, waits_for, index)
        return _collect(ready, time.perf_counter() + seconds)


def _sockets(namespace: Namespace, asked: Sequence[Case]) -> list[socket.socket]:
    with namespace.entered():
        return [
            socket.socket(
                socket.AF_INET if case.family == 4 else socket.AF_INET6,
                socket.SOCK_STREAM if case.port.protocol == TCP else socket.SOCK_DGRAM,
            )
            for case in asked
        ]


def _is_started(client: socket.socket, case: Case) -> bool:
    """Sends the first packet; False where it is refused at once."""
    client.settimeout(0)
    if case.port.protocol == TCP:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    try:
        client.connect(case.target)
        if case.port.protocol != TCP:
            client.send(b"truth")
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _collect(ready: selectors.BaseSelector, deadline: float) -> set[int]:
    opened: set[int] = set()
    while ready.get_map() and (left := deadline - time.perf_counter()) > 0:
        for key, _ in ready.select(left):
            assert isinstance(key.fileobj, socket.socket)
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                opened.add(key.data)
            ready.unregister(key.fileobj)
    return opened
