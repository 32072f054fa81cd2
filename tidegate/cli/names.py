"""`tidegate names`: who has learned which addresses, and for how long."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.dns import exchanges
from tidegate.cli.output import Output, OutputOption, duration_text, print_json, print_table, say_now
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="Only what this endpoint has learned.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Only this name.")]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is learned, until interrupted.")]


def names(
    *,
    follow: FollowOption = False,
    endpoint: EndpointOption = None,
    name: NameOption = None,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the names that workloads have resolved, the addresses they may reach by them, and the time left.

    With --follow a line for each, then one whenever a name is learned, or learned again: as JSON lines with `-o json`.
    """
    wanted = {"endpoint": endpoint, "name": name}
    if follow:
        for item in _followed(socket):
            if _is_wanted(item, wanted):
                say_now(json.dumps(item, ensure_ascii=False) if output is Output.JSON else _line(item))
        return
    found = [item for item in ask(socket, "names") if _is_wanted(item, wanted)]
    if output is Output.JSON:
        print_json(found)
        return
    print_table("names", ("endpoint", "name", "address", "time left"), map(_row, found))


def _is_wanted(item: Mapping[str, Any], wanted: Mapping[str, str | None]) -> bool:
    return all(value in (None, item[field]) for field, value in wanted.items())


def _followed(socket: Path) -> Iterator[Mapping[str, Any]]:
    """What is known, then what is learned. Who asks for the number first misses nothing in between."""
    last = ask(socket, "dns", {"after": "now"})["last"]
    for item in ask(socket, "names"):
        yield {"event": "known", **item}
    for exchange in exchanges(socket, follow=True, after=str(last)):
        yield from _learned(exchange)


def _learned(exchange: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for opened in exchange["learned"]:
        yield {
            "event": "learned",
            "endpoint": exchange["endpoint"],
            "name": exchange["qname"],
            "ip": opened["ip"],
            "expires_in_seconds": opened["expires_in_seconds"],
            "server": exchange["servers"][0]["ip"],
            "rules": exchange["rules"],
            "policies": exchange["policies"],
            "time": exchange["end_time"],
        }


def _line(item: Mapping[str, Any]) -> str:
    left = duration_text(item["expires_in_seconds"])
    return f"{item['event']:7} {item['endpoint']} {item['name'] or '(unknown)'} {item['ip']} for {left}"


def _row(item: Mapping[str, Any]) -> tuple[object, ...]:
    left = duration_text(item["expires_in_seconds"])
    return item["endpoint"], item["name"], item["ip"], f"{left} of grace" if item.get("grace") else left
