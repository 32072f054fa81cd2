"""`tidegate dns`: what workloads ask of DNS, what they are told, and what that opens."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, say, say_now
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")]
EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="Only of this endpoint: namespace/name.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Only questions for this name.")]
RcodeOption = Annotated[
    str | None, typer.Option("--rcode", help="Only answers of this code, like NXDomain; - is none.")
]

_LOOK_SECONDS = 0.2


def dns(
    *,
    follow: FollowOption = False,
    endpoint: EndpointOption = None,
    name: NameOption = None,
    rcode: RcodeOption = None,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the latest questions of workloads with their answers; as JSON lines with `-o json`.

    The packet process tells of them while `dnsLogsFileEnabled` is set or somebody follows. What is lost is counted on
    standard error.
    """
    for item in exchanges(socket, follow=follow):
        is_wanted = (
            endpoint in (None, item["endpoint"])
            and name in (None, item["qname"])
            and (rcode is None or rcode.lower() == (item["rcode"] or "-").lower())
        )
        if is_wanted:
            say_now(json.dumps(item, ensure_ascii=False) if output is Output.JSON else line(item))


def exchanges(socket: Path, *, follow: bool, after: str = "0") -> Iterator[Mapping[str, Any]]:
    """Those that the agent remembers behind that number, then those that come, until interrupted."""
    lost = 0
    while True:
        page = ask(socket, "dns", {"after": after})
        yield from page["records"]
        after, lost = str(page["next"]), _complain(page, lost)
        if page["next"] >= page["last"]:
            if not follow:
                if not page["enabled"]:
                    say("DNS is recorded while somebody follows it (--follow), or dnsLogsFileEnabled is set")
                return
            time.sleep(_LOOK_SECONDS)  # noqa: TID251 - a person or a script is waiting, not the program


def line(item: Mapping[str, Any]) -> str:
    """For people."""
    told = [text for each in item["rrsets"] for text in each["rdata"]]
    shown = ", ".join(told[:8]) + (f", {len(told) - 8} more" if len(told) > 8 else "")
    waited = f" in {item['latency_max'] / 1e6:.1f} ms" if item["latency_count"] else ""
    answer = f"{item['rcode'] or 'no answer'}{waited}"
    policies = ", ".join(each["name"] for each in item["policies"])
    learned = f"  learned {len(item['learned'])} for {policies}" if item["learned"] else ""
    refused = f"  [{item['reason']}]" if item["reason"] else ""
    who = item["endpoint"] or item["client_ip"]
    text = f"{item['end_time']} {who} {item['qtype']} {item['qname']} ({item['servers'][0]['ip']}): {answer}"
    # What servers say is nobody's terminal's business.
    return "".join(
        letter if letter.isprintable() else "?" for letter in f"{text}{f': {shown}' if told else ''}{learned}{refused}"
    )


def _complain(page: Mapping[str, Any], lost_before: int) -> int:
    """Says what is missing; how much is lost by now."""
    if page["missed"]:
        say(f"{page['missed']} exchanges were forgotten before they could be shown")
    lost = int(page["dns_log_sightings_lost"])
    if lost != lost_before:
        say(f"{lost} questions and answers lost since the agent started")
    return lost
