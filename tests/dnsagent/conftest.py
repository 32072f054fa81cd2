"""A network namespace of its own for the tests whose sockets and routes are real."""

import subprocess

import pytest

from tests.nft.kernel.conftest import new_namespace


@pytest.fixture
def netns():
    with new_namespace():
        subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
        yield
