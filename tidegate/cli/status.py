"""`tidegate status`: whether policy is in force, and if not, why."""

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tidegate.api.client import AgentRefusedError, AgentUnreachableError, ApiClient
from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, fail, print_json, print_table, verdict_text
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption

_POLL_SECONDS = 0.1

WaitOption = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for the agent to be ready.")
]


def status(
    *, wait: WaitOption = 0.0, output: OutputOption = Output.TABLE, socket: SocketOption = DEFAULT_SOCKET
) -> None:
    """Show whether policy is in force. Exits with 0 only if it is."""
    document = _wait_until_ready(socket, wait)
    if output is Output.JSON:
        print_json(document)
    else:
        _show(document)
    raise typer.Exit(exits.DONE if document["ready"] else exits.NO)


def _wait_until_ready(socket: Path, seconds: float) -> Any:  # noqa: ANN401 - any JSON
    """The status once it is ready, or when time is up."""
    deadline = time.monotonic() + seconds  # noqa: TID251 - a person or a script is waiting, not the program
    console = Console(stderr=True)
    with console.status("waiting for the agent") if seconds > 0 and console.is_terminal else nullcontext():
        while True:
            document, failure = _look(socket)
            is_over = time.monotonic() >= deadline  # noqa: TID251
            if document is not None and (document["ready"] or is_over):
                return document
            if is_over:
                fail(exits.UNREACHABLE, str(failure))
            time.sleep(_POLL_SECONDS)  # noqa: TID251


def _look(socket: Path) -> tuple[Any, Exception | None]:
    try:
        return ApiClient(socket).get("status"), None
    except (AgentUnreachableError, AgentRefusedError) as error:
        return None, error


def _show(document: Mapping[str, Any]) -> None:
    print_table("status", ("", ""), _summary(document))
    columns = ("condition", "status", "since", "reason", "message")
    print_table("conditions", columns, map(_condition, document["conditions"]))


def _summary(document: Mapping[str, Any]) -> Iterator[tuple[object, object]]:
    mode, packets, generation = document["mode"], document["packets"], document["generation"]
    yield "ready", verdict_text("yes" if document["ready"] else "no", is_good=document["ready"])
    yield "node", document["node"]
    yield "generation", f"{generation['applied']} of {generation['wanted']} applied"
    yield "DNS policy mode", f"{mode['in_force']} ({mode['reason']})" if mode["reason"] else mode["in_force"]
    yield "trusted servers", ", ".join(document["trusted_servers"]) or "none"
    yield "packet process", f"{packets['state']}, pid {packets['pid']}" if packets["pid"] else packets["state"]
    if (grace := packets.get("grace")) and (grace["pairs"] or grace["full"]):
        no_room = f", no room for more in {', '.join(grace['full'])}" if grace["full"] else ""
        yield "grace", f"{grace['pairs']} addresses in use{no_room}"
    yield "open connections", _connections(document["connections"])
    yield "encodings", ", ".join(f"{name}: {value}" for name, value in document["encodings"].items())
    if limits := document.get("limits"):
        dropped = sum(item["dropped"] for item in limits)
        yield "limits", f"{len(limits)} on workloads' traffic, {dropped} packets beyond them (see tidegate endpoints)"
    if full := [f"{name} ({count} packets)" for name, count in document.get("full_sets", {}).items() if count]:
        yield "full sets", ", ".join(full)
    yield "counts", ", ".join(f"{value} {name}" for name, value in document["counts"].items())


def _connections(told: Mapping[str, Any]) -> str:
    if told["on_policy_change"] == "Keep":
        return "Keep: policy changes end none"
    return f"{told['on_policy_change']}: {told['ended']} ended, {told['judged']} judged"


def _condition(item: Mapping[str, Any]) -> tuple[object, ...]:
    where = " ".join(part for part in (item["subject"], item["path"]) if part)
    message = f"{where}: {item['message']}" if where else item["message"]
    return (
        item["type"],
        verdict_text(item["status"], is_good=item["normal"]),
        item["since"],
        item["reason"],
        message,
    )
