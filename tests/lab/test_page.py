"""What the page about the test kit shows works."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.lab.scripted import Step

PAGE = (Path(__file__).parents[2] / "docs/testkit.md").read_text()


@pytest.mark.kernel
def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/testkit.md", "exec"), {})


def test_every_field_of_a_step_is_explained():
    assert [each.name for each in fields(Step) if f"`{each.name}" not in PAGE] == []
