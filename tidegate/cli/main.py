"""The entry point of the command line: one module a command, imported when it is called.

The packet process starts through here as well: it must not pay, in time and in memory, for tables and servers that only
other commands need.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives."""

    module: str
    function: str


COMMANDS = {
    "validate": Entry("validate", "validate"),
    "eval": Entry("eval", "evaluate"),
    "import": Entry("import_", "import_policies"),
    "render": Entry("render", "render"),
    "run": Entry("run", "run"),
    "status": Entry("status", "status"),
    "endpoints": Entry("endpoints", "endpoints"),
    "policies": Entry("policies", "policies"),
    "sets": Entry("sets", "sets"),
    "names": Entry("names", "names"),
    "wireguard": Entry("wireguard", "wireguard"),
    "explain": Entry("explain", "explain"),
    "flows": Entry("flows", "flows"),
    "top": Entry("top", "top"),
    "logs": Entry("logs", "logs"),
    "dns": Entry("dns", "dns"),
    "capture": Entry("capture", "capture"),
    "doctor": Entry("doctor", "doctor"),
    "demo": Entry("demo", "demo"),
    "truth": Entry("truth", "truth"),
    "remove": Entry("remove", "remove"),
    "packets": Entry("packets", "packets"),
    "completion": Entry("completion", "completion"),
    "version": Entry("version", "version"),
}
"""In the order in which help lists them."""


class LazyGroup(TyperGroup):
    """The commands of the table above. Typer keeps the types of its contexts and commands to itself."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002
        """Imports the command's module."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        function: Any = getattr(importlib.import_module(f"tidegate.cli.{entry.module}"), entry.function)
        single = typer.Typer(add_completion=False)
        single.command(cmd_name, no_args_is_help=False)(function)
        return typer.main.get_command(single)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """DNS-aware egress policy for Linux: Calico's policy YAML, enforced by nftables."""


def run() -> None:
    """Runs the command line."""
    app(prog_name="tidegate")
