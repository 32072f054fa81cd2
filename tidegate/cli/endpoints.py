"""`tidegate endpoints`: the workloads and host endpoints of this node, as they are enforced."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, print_json, print_table
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

NamespaceOption = Annotated[str | None, typer.Option("--namespace", "-n", help="Only those of this namespace.")]


def endpoints(
    *, namespace: NamespaceOption = None, output: OutputOption = Output.TABLE, socket: SocketOption = DEFAULT_SOCKET
) -> None:
    """Show the node's workloads and host endpoints, their interfaces, and the policies that decide about them."""
    found = [item for item in ask(socket, "endpoints") if namespace in (None, item["namespace"])]
    if output is Output.JSON:
        print_json(found)
        return
    print_table("endpoints", ("endpoint", "interface", "addresses", "ingress", "egress"), map(_row, found))


_PLACES = {"untracked": "untracked ", "preDNAT": "preDNAT ", "tiers": "", "forward": "forward "}
"""Where host endpoints are asked; workloads have tiers alone."""


def _row(item: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    interface = item["interface"] or ("(none)" if item.get("kind") == "HostEndpoint" else "(no route yet)")
    name = "\n".join((item["id"], *map(_limit, item.get("limits", ()))))
    return name, interface, "\n".join(item["addresses"]), _policies(item, "ingress"), _policies(item, "egress")


def _limit(item: Mapping[str, Any]) -> str:
    dropped = f", {item['dropped']} packets dropped" if item["dropped"] else ""
    return f"  {item['name']} {item['limit']}{dropped}"


def _policies(item: Mapping[str, Any], direction: str) -> str:
    named = [
        f"{prefix}{tier['name']}: {_names(tier[direction])}"
        for place, prefix in _PLACES.items()
        for tier in item.get(place, ())
        if tier[direction]
    ]
    return "\n".join(named) or f"profiles: {', '.join(item['profiles']) or 'none'}"


def _names(policies: Iterable[Mapping[str, str]]) -> str:
    return ", ".join(item["name"] for item in policies)
