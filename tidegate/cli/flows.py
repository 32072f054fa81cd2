"""`tidegate flows`: who talked to whom, how much, and why it was allowed or denied."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, fail, say_out
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

PartyArgument = Annotated[
    str | None, typer.Argument(help="Either end: namespace/name, namespace/, a name, or an address.")
]
SourceOption = Annotated[str | None, typer.Option("--source", help="The end that began it; as above.")]
DestinationOption = Annotated[str | None, typer.Option("--dest", help="The other end; as above.")]
ActionOption = Annotated[str | None, typer.Option("--action", help="allow or deny.")]
ReporterOption = Annotated[str | None, typer.Option("--reporter", help="Whose policy tells: src, dst or fwd.")]
ProtocolOption = Annotated[str | None, typer.Option("--protocol", help="tcp, udp, icmp, ... or a number.")]
PortOption = Annotated[str | None, typer.Option("--port", help="Of the destination.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="Part of a policy's name, enforced or staged.")]
DomainOption = Annotated[str | None, typer.Option("--domain", help="Part of a name of the destination.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="A time, or a duration like 90s, 10m, 24h, 7d.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Likewise.")]
LevelOption = Annotated[
    str | None,
    typer.Option("--level", help="Add up: 1 source ports, 2 addresses and replicas too, 3 ports too."),
]
LimitOption = Annotated[int, typer.Option("--limit", help="The newest so many.", min=1, max=10_000)]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")]
WhyOption = Annotated[bool, typer.Option("--why", help="Show the policies that decided, and staged ones.")]

FOLLOW_SECONDS = 1.0
_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def flows(  # noqa: PLR0913 - one parameter for each option
    *,
    party: PartyArgument = None,
    source: SourceOption = None,
    dest: DestinationOption = None,
    action: ActionOption = None,
    reporter: ReporterOption = None,
    protocol: ProtocolOption = None,
    port: PortOption = None,
    policy: PolicyOption = None,
    domain: DomainOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    level: LevelOption = None,
    limit: LimitOption = 1000,
    follow: FollowOption = False,
    why: WhyOption = False,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show recorded connections and denied packets, the latest last.

    With -o json a line for each record. What is missing in the record is a record of its own (type loss).
    """
    given = {
        "party": party, "source": source, "destination": dest, "action": action, "reporter": reporter,
        "protocol": protocol, "port": port, "policy": policy, "domain": domain, "level": level,
        "since": since and _time(since), "until": until and _time(until), "limit": str(limit),
    }  # fmt: skip
    wanted = {name: value for name, value in given.items() if value}
    if follow:
        if level or until:
            fail(exits.USAGE, "cannot follow what is added up or over: leave out --level and --until")
        for records in _stream(socket, wanted):
            _show(records, output, why=why)
        return
    _show(ask(socket, "flows", wanted), output, why=why)


def _stream(socket: Path, wanted: Mapping[str, str]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """What there is, then what comes, until interrupted."""
    records = ask(socket, "flows", wanted)
    if records:
        yield records
    last = max((item["id"] for item in records), default=None)
    if last is None:
        # Nothing fits yet: what comes is behind the latest record of any kind.
        last = max((item["id"] for item in ask(socket, "flows", {"limit": "1"})), default=0)
    while True:
        time.sleep(FOLLOW_SECONDS)  # noqa: TID251 - a command that has nothing else to do
        records = ask(socket, "flows", {**wanted, "after": str(last)})
        if records:
            yield records
            last = max(item["id"] for item in records)


def _show(records: Sequence[Mapping[str, Any]], output: Output, *, why: bool) -> None:
    if output is Output.JSON:
        for item in records:
            say_out(json.dumps(item, ensure_ascii=False))
        return
    for item in records:
        for line in _lines(item, why=why):
            say_out(line)
    if not records:
        say_out("flows: none")


def _lines(item: Mapping[str, Any], *, why: bool) -> Iterator[str]:
    until = item["end_time"][11:19]
    if item["type"] == "loss":
        counts = {name: count for name, count in item.items() if isinstance(count, int) and name != "id" and count}
        yield f"{until} MISSING {', '.join(f'{name} {count}' for name, count in counts.items())}"
        return
    policies = item["policies"]
    packets, size = item["packets_in"] + item["packets_out"], item["bytes_in"] + item["bytes_out"]
    ends = f"{_end(item['source'])} > {_end(item['dest'], item['proto'])}{_known_as(item)}"
    decided = "" if why else f"  {(policies['enforced'] or ['?'])[-1]}"
    sums = f"{item['num_flows']} flows, {packets} packets, {size} bytes"
    yield f"{until} {item['reporter']} {item['action']:5}  {ends}  {sums}{decided}"
    if why:
        yield from (f"    {line}" for line in _why(policies))


def _end(end: Mapping[str, Any], protocol: str = "") -> str:
    who = f"{end['namespace']}/{end['name']}" if end["namespace"] else end["name"]
    address = end["ip"] or ("" if who else end["name_aggr"] or "anybody")
    named = f"{who} {address}".strip()
    port = f"{':' if end['port'] is not None else ''}{'' if end['port'] is None else end['port']}"
    return f"{named}{port}/{protocol}" if protocol else f"{named}{port}"


def _known_as(item: Mapping[str, Any]) -> str:
    names = [*item["dest_domains"], *([f"service {item['dest_service']}"] if item["dest_service"] else [])]
    return f" ({', '.join(names)})" if names else ""


def _why(policies: Mapping[str, Any]) -> list[str]:
    lines = list(policies["enforced"]) or ["nobody was asked"]
    if policies["agrees"] is False:
        lines.append("(policy or names have changed since)")
    if policies["pending"] != policies["enforced"]:
        lines += ["if staged policies were enforced:", *policies["pending"]]
    return lines


def _time(text: str) -> str:
    """RFC 3339 of a time or of so long ago."""
    if found := _DURATION.fullmatch(text):
        ago = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        return (datetime.now(UTC) - ago).isoformat()  # noqa: TID251 - what the user calls now
    return text
