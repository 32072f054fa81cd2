"""What typical states look like in nft's words. After a wanted change: `just golden --update`, and read the diff."""

import os
import subprocess
import tempfile

import pytest

from tests.render.golden_files import CASES, DIRECTORY, rendered
from tidegate.render import render_table


@pytest.mark.parametrize("name", CASES)
def test_the_rendering_is_the_golden_one(name):
    assert rendered(name) == (DIRECTORY / f"{name}.nft").read_text()


def test_no_golden_file_is_left_over():
    assert {path.stem for path in DIRECTORY.glob("*.nft")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_rendering_twice_gives_the_same_table(name):
    assert render_table(*CASES[name]) == render_table(*CASES[name])


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES)
def test_the_kernel_takes_the_golden_script(name):
    """With drops for the queues: they are written by netlink where the kernel has no `queue` expression."""
    text = "\n".join("drop" if "queue " in line and " to " in line else line for line in rendered(name).splitlines())
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
        file.write(text + "\n")
        file.flush()
        load = ["unshare", "-n", "nft", "-f", file.name]
        done = subprocess.run(load, check=False, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
