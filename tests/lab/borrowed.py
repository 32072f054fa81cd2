"""Another process's netlink socket in our hands, to break it: its queue is unbound, its buffer made too small."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlink.message import NFNL_SUBSYS_QUEUE, NLM_F_REQUEST, attribute, nf_message
from nfq.queue_table import read_queues
from tidegate.demo.namespace import Namespace

_PIDFD_GETFD = 438
"""The number of the system call, the same on every architecture (pidfd_getfd(2))."""
_CONFIG, _COMMAND, _UNBIND = 2, 1, 2
"""NFQNL_MSG_CONFIG, NFQA_CFG_CMD, NFQNL_CFG_CMD_UNBIND (linux/netfilter/nfnetlink_queue.h)."""


def queue_port(namespace: Namespace, number: int) -> int | None:
    """The netlink port of whoever reads the queue; None while nobody does."""
    with namespace.entered():
        row = (read_queues() or {}).get(number)
    return None if row is None else row.port


@contextmanager
def borrowed(pid: int, port: int) -> Iterator[socket.socket]:
    """The socket of the process that has this netlink port."""
    descriptor = _taken(pid, _descriptor(pid, port))
    with socket.socket(fileno=descriptor) as one:
        yield one


def unbind(one: socket.socket, number: int) -> None:
    """The kernel forgets who reads the queue, and tells nobody."""
    command = attribute(_COMMAND, struct.pack(">BxH", _UNBIND, 0))
    one.send(nf_message(NFNL_SUBSYS_QUEUE, _CONFIG, NLM_F_REQUEST, 1, socket.AF_UNSPEC, command, number))


def _descriptor(pid: int, port: int) -> int:
    rows = [line.split() for line in Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2]) == port}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if str(entry.readlink()) in inodes:
            return int(entry.name)
    raise AssertionError(f"process {pid} has no socket with port {port}")


def _taken(pid: int, descriptor: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        taken = library.syscall(_PIDFD_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if taken < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return int(taken)
