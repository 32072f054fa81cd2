"""`tidegate completion`: the script that teaches a shell our commands."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from tidegate.cli.output import say_out


class Shell(StrEnum):
    """Shells that can be taught."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")] = Shell.BASH) -> None:
    """Print a completion script: `tidegate completion bash > /etc/bash_completion.d/tidegate`."""
    say_out(get_completion_script(prog_name="tidegate", complete_var="_TIDEGATE_COMPLETE", shell=shell.value))
