"""`tidegate explain`: why a connection is allowed or denied."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, print_json, verdict_text
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

FromOption = Annotated[str, typer.Option("--from", metavar="P", help="Who connects: NAMESPACE/POD or an address.")]
ToOption = Annotated[
    str, typer.Option("--to", metavar="HOST_OR_IP:PORT[/PROTO]", help="Where to: an address, a name, or NAMESPACE/POD.")
]


def explain(
    *, source: FromOption, to: ToOption, output: OutputOption = Output.TABLE, socket: SocketOption = DEFAULT_SOCKET
) -> None:
    """Explain a connection: tiers, policies and rules passed, and what names have to do with it. Exits 1 if denied."""
    document = ask(socket, "explain", {"from": source, "to": to})
    if output is Output.JSON:
        print_json(document)
    else:
        console = Console()
        for line in _lines(document):
            console.print(line, soft_wrap=True, highlight=False)
    raise typer.Exit(exits.DONE if document["verdict"] == "allow" else exits.NO)


def _lines(document: Mapping[str, Any]) -> Iterator[Text]:
    place = document["to"] if document["port"] is None else f"{document['to']} port {document['port']}"
    yield Text.assemble(f"{document['from']} to {place}: ", _verdict(document))
    for reason in document["reasons"]:
        yield _reason(reason)
    for path in document["paths"]:
        yield Text.assemble(f"\n{path['ip']}: ", _verdict(path))
        for side in ("egress", "ingress"):
            yield from _side(side, path[side])
        yield from _pending(path.get("pending"))
        for reason in path["reasons"]:
            yield _reason(reason)
        for one in path.get("ended", ()):
            yield Text(f"  open connection ended at {one['at']}: denied by {one['reason']}")


def _reason(reason: Mapping[str, Any]) -> Text:
    place = f"{reason['ip']}: " if "ip" in reason else ""
    return Text(f"  names: {place}{reason['message']} [{reason['code']}]")


def _side(side: str, direction: Mapping[str, Any] | None) -> Iterator[Text]:
    if direction is None:
        return
    yield Text.assemble(f"  {side}: ", _verdict(direction))
    for step in direction["trace"]:
        yield Text(f"    {_where(step)}{step['happened']}{_because(step)}", style="" if _decides(step) else "dim")
    yield from (Text(f"    {hit}", style="dim") for hit in direction.get("policies", ()))


def _pending(pending: Mapping[str, Any] | None) -> Iterator[Text]:
    """What would be if staged policies were enforced; nothing where none is staged."""
    if pending is None:
        return
    yield Text.assemble("  if staged policies were enforced: ", _verdict(pending))
    for side in ("egress", "ingress"):
        if pending[side] is not None:
            yield Text.assemble(f"    {side}: ", _verdict(pending[side]))
            yield from (Text(f"      {hit}", style="dim") for hit in pending[side]["policies"])


def _where(step: Mapping[str, Any]) -> str:
    if step["policy"] is None:
        return ""
    rule = f" rule {step['rule']}" if step["rule"] >= 0 else ""
    return f"{step['tier']} / {step['kind']} {step['policy']}{rule}: "


def _because(step: Mapping[str, Any]) -> str:
    return f" ({step['reason']})" if step.get("reason") else ""


def _decides(step: Mapping[str, Any]) -> bool:
    return "does not match" not in str(step["happened"])


def _verdict(item: Mapping[str, Any]) -> Text:
    return verdict_text(item["verdict"], is_good=item["verdict"] == "allow")
