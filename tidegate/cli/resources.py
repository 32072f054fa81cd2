"""How commands that need no agent read a resource directory."""

from pathlib import Path
from typing import Annotated

import typer

from policy.resources.metadata import Resource
from tidegate.cli import exits
from tidegate.cli.output import fail, say
from tidegate.store.files import FileSource
from tidegate.store.tree import StoreError

ResourcesOption = Annotated[
    Path, typer.Option("--resources", help="Directory (or file) of policy and workloads.", show_default=False)
]


def load(directory: Path) -> list[Resource]:
    """What is valid in the directory; what is not is told on standard error, as an agent would leave it out.

    Raises:
        typer.Exit: 1 where the directory cannot be read.
    """
    try:
        changes = FileSource(directory).load()
    except StoreError as error:
        fail(exits.NO, str(error))
    for problem in changes.problems:
        where = f"{problem.path}: " if problem.path else ""
        say(f"{problem.file}:{problem.line}: {where}{problem.message}")
    return [update.resource for update in changes.updates if update.resource is not None]
