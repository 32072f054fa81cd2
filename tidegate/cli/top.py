"""`tidegate top`: what passes and what is denied now, by workload, policy or pair, in a terminal."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidegate.cli.output import Output, OutputOption, print_json
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask


class By(StrEnum):
    """What a row is."""

    PAIR = "pair"
    SOURCE = "source"
    DESTINATION = "destination"
    POLICY = "policy"


ByOption = Annotated[By, typer.Option("--by", help="What a row is.")]
WindowOption = Annotated[int, typer.Option("--seconds", help="Of the past that is added up.", min=1, max=86400)]
RowsOption = Annotated[int, typer.Option("--rows", help="Shown.", min=1, max=1000)]
OnceOption = Annotated[bool, typer.Option("--once", help="Show it once and end.")]

_REDRAW_SECONDS = 1.0
_LIMIT = "10000"


@dataclass(slots=True)
class Sum:
    """Of one row."""

    flows: int = 0
    denied: int = 0
    packets: int = 0
    size: int = 0

    def add(self, item: Mapping[str, Any]) -> None:
        """Another record."""
        self.flows += item["num_flows"]
        self.denied += item["num_flows"] if item["action"] == "deny" else 0
        self.packets += item["packets_in"] + item["packets_out"]
        self.size += item["bytes_in"] + item["bytes_out"]


def top(
    *,
    by: ByOption = By.PAIR,
    seconds: WindowOption = 60,
    rows: RowsOption = 30,
    once: OnceOption = False,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the busiest pairs, workloads or policies of the last minute, and go on.

    Needs flow records (flowLogsFileEnabled); it is as fresh as they are (flowLogsFlushInterval).
    """
    if output is Output.JSON:
        print_json([{by.value: name, **_document(found)} for name, found in _sums(socket, by, seconds)[:rows]])
        return
    console = Console()
    if once:
        console.print(_picture(socket, by, seconds, rows))
        return
    with Live(_picture(socket, by, seconds, rows), console=console, screen=True) as live:
        while True:
            time.sleep(_REDRAW_SECONDS)  # noqa: TID251 - a command that has nothing else to do
            live.update(_picture(socket, by, seconds, rows))


def _picture(socket: Path, by: By, seconds: int, rows: int) -> Group:
    found = _sums(socket, by, seconds)
    table = Table(header_style="bold")
    for column in (by.value, "flows", "denied", "packets", "bytes"):
        table.add_column(column, justify="left" if column == by.value else "right", overflow="fold")
    for name, item in found[:rows]:
        denied = Text(str(item.denied), style="red" if item.denied else "")
        table.add_row(Text(name), Text(str(item.flows)), denied, Text(str(item.packets)), Text(str(item.size)))
    more = f", {len(found) - rows} more" if len(found) > rows else ""
    return Group(Text(f"the last {seconds} s{more}"), table)


def _sums(socket: Path, by: By, seconds: int) -> Sequence[tuple[str, Sum]]:
    """The busiest first: by bytes, then by connections."""
    since = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()  # noqa: TID251 - now is what it is about
    found: dict[str, Sum] = {}
    for item in ask(socket, "flows", {"since": since, "level": "2", "limit": _LIMIT}):
        if item["type"] == "flow":
            for name in _NAMES[by](item):
                found.setdefault(name, Sum()).add(item)
    return sorted(found.items(), key=lambda pair: (-pair[1].size, -pair[1].flows, pair[0]))


def _document(item: Sum) -> dict[str, int]:
    return {"flows": item.flows, "denied": item.denied, "packets": item.packets, "bytes": item.size}


def _end(end: Mapping[str, Any]) -> str:
    name = end["name"] or {"pub": "public network", "pvt": "private network"}.get(end["name_aggr"], "anybody")
    return f"{end['namespace']}/{name}" if end["namespace"] else name


def _pair(item: Mapping[str, Any]) -> list[str]:
    port = "" if item["dest"]["port"] is None else f":{item['dest']['port']}"
    return [f"{_end(item['source'])} > {_end(item['dest'])}{port}/{item['proto']}"]


def _policies(item: Mapping[str, Any]) -> list[str]:
    return [hit.partition("|")[2] for hit in item["policies"]["enforced"]] or ["(no policy)"]


_NAMES: Mapping[By, Callable[[Mapping[str, Any]], list[str]]] = {
    By.PAIR: _pair,
    By.SOURCE: lambda item: [_end(item["source"])],
    By.DESTINATION: lambda item: [_end(item["dest"])],
    By.POLICY: _policies,
}
