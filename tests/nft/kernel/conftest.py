"""A network namespace of its own for each test: this thread moves in, and back out at the end."""

import contextlib
import ctypes
import os

import pytest

CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def new_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            pytest.fail(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)


@pytest.fixture
def netns():
    with new_namespace():
        yield
