"""`tidegate sets`: the sets that rules look things up in."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, print_json, print_table
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask


class SetKind(StrEnum):
    """What a set holds."""

    NETS = "nets"
    PORTS = "ports"
    DOMAINS = "domains"


KindOption = Annotated[SetKind | None, typer.Option("--kind", help="Only sets of this kind.")]


def sets(
    *, kind: KindOption = None, output: OutputOption = Output.TABLE, socket: SocketOption = DEFAULT_SOCKET
) -> None:
    """Show the sets behind selectors, named ports and domain names, and their names in the kernel."""
    found = [item for item in ask(socket, "sets") if kind in (None, item["kind"])]
    if output is Output.JSON:
        print_json(found)
        return
    print_table("sets", ("kind", "selects", "kernel sets", "members"), map(_row, found))


def _row(item: Mapping[str, Any]) -> tuple[object, ...]:
    selects = "\n".join(item["patterns"]) if item["kind"] == SetKind.DOMAINS else item["id"]
    return item["kind"], selects, "\n".join(item["kernel_sets"]), item["count"]
