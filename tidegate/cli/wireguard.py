"""`tidegate wireguard`: the node's tunnels: peers and their handshakes, and what goes in clear and why."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from tidegate.cli.output import Output, OutputOption, duration_text, print_json, print_table, say_out
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask, command

_PEER = ("node", "endpoint", "handshake", "received", "sent", "behind it")
_LEFT = ("node", "why", "networks", "")


RotateOption = Annotated[
    bool,
    typer.Option("--rotate", help="Make new keys first. The node's document must say them, or nobody encrypts to it."),
]


def wireguard(
    *, rotate: RotateOption = False, output: OutputOption = Output.TABLE, socket: SocketOption = DEFAULT_SOCKET
) -> None:
    """Show the WireGuard devices, their peers, and the nodes that are not encrypted to."""
    found = command(socket, "rotate") if rotate else ask(socket, "wireguard")
    if output is Output.JSON:
        print_json(found)
        return
    if not found:
        say_out("WireGuard is off: neither wireguardEnabled nor wireguardEnabledV6 is set")
    for tunnel in found:
        for line in _lines(tunnel):
            say_out(line)
        print_table(f"peers of {tunnel['interface']}", _PEER, map(_peer, tunnel["peers"]))
        print_table(f"not encrypted by {tunnel['interface']}", _LEFT, map(_left, tunnel["unencrypted"]))


def _lines(tunnel: Mapping[str, Any]) -> Iterator[str]:
    age = tunnel["key_age_seconds"]
    yield (
        f"{tunnel['interface']}: IPv{tunnel['version']}, {tunnel['transport'] or 'no device'}, "
        f"port {tunnel['listen_port']}, MTU {tunnel['mtu']}{', strict' if tunnel['strict'] else ''}"
    )
    if tunnel["public_key"]:
        published = "" if tunnel["published"] else ", which this node's document does not say"
        made = "" if age is None else f", made {duration_text(age)} ago"
        yield f"  public key {tunnel['public_key']}{made}{published}"
    if tunnel["error"]:
        yield f"  {tunnel['error']}"
    for item in tunnel["contested"]:
        yield f"  {item['network']} is claimed by {item['owner']}, who gets it, and by {', '.join(item['losers'])}"


def _peer(peer: Mapping[str, Any]) -> tuple[str, ...]:
    age = peer["handshake_age_seconds"]
    handshake = "never" if age is None else f"{duration_text(age)} ago{'' if peer['has_session'] else ' (over)'}"
    return (
        peer["node"],
        peer["endpoint"] or "(nowhere)",
        handshake,
        _bytes(peer["received_bytes"]),
        _bytes(peer["sent_bytes"]),
        "\n".join(peer["allowed_ips"]),
    )


def _left(left: Mapping[str, Any]) -> tuple[str, ...]:
    others = f" with {', '.join(left['others'])}" if left["others"] else ""
    return left["node"], f"{left['reason']}{others}", "\n".join(left["networks"]), _fate(left)


def _fate(left: Mapping[str, Any]) -> str:
    return "not reached" if left["blocked"] else "in clear"


def _bytes(number: int) -> str:
    size, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
