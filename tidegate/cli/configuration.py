"""How commands read the configuration: a file, the environment, and `--set`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import exits
from tidegate.cli.output import fail
from tidegate.config import sources
from tidegate.config.settings import Settings
from tidegate.config.sources import ConfigError, Configuration, Given

ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with settings (docs/settings.md).")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting; may be repeated.")
]


def read(
    path: Path | None, assignments: Sequence[str], flags: Mapping[str, object], documents: Sequence[Given] = ()
) -> Configuration:
    """The configuration in force; `flags` are settings that have a flag of their own, None where it was not given.

    `documents` are what FelixConfigurations say: everything else stands before them.

    Raises:
        ConfigError: with every fault.
        OSError: the file cannot be read.
    """
    given = [] if path is None else [sources.from_document(str(path), path.read_text())]
    own = {name: value for name, value in flags.items() if value is not None}
    return sources.configure(
        [*documents, *given, sources.from_environment(os.environ), sources.from_flags(assignments), Given("flag", own)]
    )


def load(
    path: Path | None,
    assignments: Sequence[str] | None = None,
    flags: Mapping[str, object] | None = None,
    documents: Sequence[Given] = (),
) -> Configuration:
    """The same for a command.

    Raises:
        typer.Exit: 1 with a line for each fault.
    """
    try:
        return read(path, assignments or (), flags or {}, documents)
    except ConfigError as error:
        fail(exits.NO, "\n".join(f"cannot use the configuration: {fault}" for fault in error.faults))
    except OSError as error:
        fail(exits.NO, f"cannot read {path}: {error.strerror}")


def with_documents(documents: Sequence[Given]) -> Settings | None:
    """What documents alone say, for commands that have no other configuration; None where there are none.

    Raises:
        typer.Exit: 1 with a line for each fault.
    """
    if not documents:
        return None
    try:
        return sources.configure(documents).settings
    except ConfigError as error:
        fail(exits.NO, "\n".join(f"cannot use the configuration: {fault}" for fault in error.faults))
