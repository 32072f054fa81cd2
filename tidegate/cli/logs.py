"""`tidegate logs`: what Log rules recorded, and what they record now."""

import json
import sys
import time
from collections.abc import Mapping
from textwrap import indent
from typing import Annotated, Any

import typer

from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, fail, say
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask
from tidegate.packetlog.inspect import InspectError, inspected
from tidegate.packetlog.text import line

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")]
EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="Only of this endpoint: namespace/name.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="Only of policies of this name.")]

InspectOption = Annotated[bool, typer.Option("--inspect", help="Take each packet apart, layer by layer.")]

_LOOK_SECONDS = 0.2


def logs(
    *,
    follow: FollowOption = False,
    endpoint: EndpointOption = None,
    policy: PolicyOption = None,
    inspect: InspectOption = False,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the latest packets that Log rules met (`logTransport: nflog` or `nfqueue`); as JSON lines with `-o json`.

    Records that are lost or were forgotten before they could be shown are counted on standard error.
    """
    wanted = {name: value for name, value in (("endpoint", endpoint), ("policy", policy)) if value is not None}
    after, lost = 0, 0
    while True:
        page = ask(socket, "logs", {"after": str(after)})
        if page["transport"] == "kernel":
            fail(exits.NO, "records are in the kernel log: set logTransport to nflog or nfqueue to have them here")
        for record in page["records"]:
            if all(record[name] == value for name, value in wanted.items()):
                sys.stdout.write(f"{json.dumps(record) if output is Output.JSON else line(record)}\n")
                if inspect:
                    sys.stdout.write(_indented(record))
        sys.stdout.flush()
        after, lost = page["next"], _complain(page, lost)
        if after >= page["last"]:
            if not follow:
                return
            time.sleep(_LOOK_SECONDS)  # noqa: TID251 - a person or a script is waiting, not the program


def _indented(record: Mapping[str, Any]) -> str:
    """The packet's fields, set off from the records."""
    try:
        return f"{indent(inspected(record), '    ')}\n"
    except InspectError as error:
        fail(exits.NO, str(error))


def _complain(page: Mapping[str, Any], lost_before: int) -> int:
    """Says what is missing; how many are lost by now."""
    if page["missed"]:
        say(f"{page['missed']} records were forgotten before they could be shown")
    lost = int(page["log_records_lost"])
    if lost != lost_before:
        say(f"{lost} records lost since the agent started")
    return lost
