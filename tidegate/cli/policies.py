"""`tidegate policies`: what is in force, rule by rule, with what the kernel counted."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, print_json, print_table
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

TierOption = Annotated[str | None, typer.Option("--tier", help="Only those of this tier.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Only policies of this name.")]

_ENDS = {"PendingEndOfTier": "would end here"}


def policies(
    *,
    tier: TierOption = None,
    name: NameOption = None,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the policies and profiles that act on this node, with packets and bytes per rule."""
    found = [item for item in ask(socket, "policies") if tier in (None, item["tier"]) and name in (None, item["name"])]
    if output is Output.JSON:
        print_json(found)
        return
    columns = ("tier", "policy", "rule", "action", "packets", "bytes")
    print_table("policies", columns, (row for item in found for row in _rows(item)))


def _rows(item: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    full = f"{item['namespace']}/{item['name']}" if item["namespace"] else item["name"]
    head = (item["tier"] or "(profile)", f"{full}\n{item['kind']}, {item['endpoints']} endpoints")
    if not item["rules"]:
        yield (*head, "none", "", "", "")
    for rule in item["rules"]:
        where = f"{rule['direction']} {rule['index']}" if rule["index"] >= 0 else f"{rule['direction']} end of tier"
        action = f"would {rule['would']}" if rule.get("would") else _ENDS.get(rule["action"], rule["action"])
        yield (*head, where, action, rule["packets"], rule["bytes"])
        head = ("", "")
