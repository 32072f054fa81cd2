"""A network namespace of its own for each test: this thread moves in, and back out at the end."""

import ctypes
import os

import pytest

CLONE_NEWNET = 0x40000000


@pytest.fixture
def netns():
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        pytest.fail(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
    yield
    libc.setns(home, CLONE_NEWNET)
    os.close(home)
