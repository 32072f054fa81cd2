"""`tidegate names`: who has learned which addresses, and for how long."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, duration_text, print_json, print_table
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="Only what this endpoint has learned.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Only this name.")]


def names(
    *,
    endpoint: EndpointOption = None,
    name: NameOption = None,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the names that workloads have resolved, the addresses they may reach by them, and the time left."""
    wanted = {"endpoint": endpoint, "name": name}
    found = [
        item for item in ask(socket, "names") if all(value in (None, item[field]) for field, value in wanted.items())
    ]
    if output is Output.JSON:
        print_json(found)
        return
    print_table("names", ("endpoint", "name", "address", "time left"), map(_row, found))


def _row(item: Mapping[str, Any]) -> tuple[object, ...]:
    left = duration_text(item["expires_in_seconds"])
    return item["endpoint"], item["name"], item["ip"], f"{left} of grace" if item.get("grace") else left
