"""`tidegate endpoints`: the workloads of this node, as they are enforced."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, print_json, print_table
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

NamespaceOption = Annotated[str | None, typer.Option("--namespace", "-n", help="Only those of this namespace.")]


def endpoints(
    *, namespace: NamespaceOption = None, output: OutputOption = Output.TABLE, socket: SocketOption = DEFAULT_SOCKET
) -> None:
    """Show the node's workloads, their interfaces and addresses, and the policies that decide about them."""
    found = [item for item in ask(socket, "endpoints") if namespace in (None, item["namespace"])]
    if output is Output.JSON:
        print_json(found)
        return
    print_table("endpoints", ("endpoint", "interface", "addresses", "ingress", "egress"), map(_row, found))


def _row(item: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    interface = item["interface"] or "(no route yet)"
    return item["id"], interface, "\n".join(item["addresses"]), _policies(item, "ingress"), _policies(item, "egress")


def _policies(item: Mapping[str, Any], direction: str) -> str:
    named = [f"{tier['name']}: {_names(tier[direction])}" for tier in item["tiers"] if tier[direction]]
    return "\n".join(named) or f"profiles: {', '.join(item['profiles']) or 'none'}"


def _names(policies: Iterable[Mapping[str, str]]) -> str:
    return ", ".join(item["name"] for item in policies)
