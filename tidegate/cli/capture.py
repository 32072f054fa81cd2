"""`tidegate capture`: PacketCaptures and their files, or packets at once into a file or a pipe."""

import contextlib
import selectors
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from policy.resources.capture import CONDITIONS, CaptureFilter
from policy.rules import PortRange
from reconcile.clock import SystemClock
from tidegate.capture import pcap
from tidegate.capture.program import SNAPLEN_BYTES, Wanted
from tidegate.capture.tap import Tap, TapError
from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, fail, print_json, print_table, say
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption, ask

WorkloadArgument = Annotated[
    str | None,
    typer.Argument(help="A workload as namespace/name, or a namespace; without it, PacketCaptures are listed."),
]
SelectorOption = Annotated[str, typer.Option("--selector", "-l", help="Which workloads of the namespace.")]
ProtocolOption = Annotated[str | None, typer.Option("--protocol", help="TCP, UDP, ICMP, ... or a number.")]
PortsOption = Annotated[str | None, typer.Option("--ports", help="Of either end: 80,8000:8999.")]
WriteOption = Annotated[Path, typer.Option("--write", "-w", help="The file; - is standard output, for a pipe.")]
SecondsOption = Annotated[float, typer.Option("--seconds", help="How long; 0 is until interrupted.", min=0)]
CountOption = Annotated[int, typer.Option("--count", help="How many packets; 0 is any number.", min=0)]
BytesOption = Annotated[int, typer.Option("--max-bytes", help="Of the file: it ends there.", min=1000)]

_STANDARD_OUTPUT = Path("-")


def capture(  # noqa: PLR0913 - one parameter for each option
    *,
    workload: WorkloadArgument = None,
    selector: SelectorOption = "all()",
    protocol: ProtocolOption = None,
    ports: PortsOption = None,
    write: WriteOption = _STANDARD_OUTPUT,
    seconds: SecondsOption = 0,
    count: CountOption = 0,
    max_bytes: BytesOption = 100_000_000,
    output: OutputOption = Output.TABLE,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show PacketCaptures and their files; with a workload or namespace, capture packets now.

    For example `tidegate capture shop/web --protocol TCP --ports 443 -w - | wireshark -k -i -`. Works in the
    network namespace of the agent, with the rights of root.
    """
    if workload is None:
        _list(ask(socket, "captures"), output)
        return
    wanted = _wanted(protocol, ports)
    namespace, _, name = workload.partition("/")
    found = ask(socket, "capture-targets", {"namespace": namespace, "selector": selector})
    chosen = [item for item in found if name in ("", item["endpoint"].partition("/")[2])]
    interfaces = [item["interface"] for item in chosen if item["interface"]]
    if not interfaces:
        fail(exits.NO, f"cannot capture: no workload of this node is {workload} and has an interface")
    _Bounds(seconds, count, max_bytes).record(interfaces, wanted, write)


def _list(captures: Sequence[Mapping[str, Any]], output: Output) -> None:
    if output is Output.JSON:
        print_json(captures)
        return
    rows = [
        (f"{item['namespace']}/{item['name']}", _state(item), *_interface(interface))
        for item in captures
        for interface in (item["interfaces"] or [None])
    ]
    print_table("captures", ("capture", "state", "interface", "packets", "files"), rows)


def _state(item: Mapping[str, Any]) -> str:
    return f"{item['state']}: {item['message']}" if item["message"] else str(item["state"])


def _interface(item: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if item is None:
        return "", "", ""
    lost = f", {item['dropped']} lost" if item["dropped"] else ""
    return f"{item['endpoint']} {item['interface']}", f"{item['packets']}{lost}", "\n".join(item["files"])


def _wanted(protocol: str | None, ports: str | None) -> list[Wanted]:
    """What the options ask for; the same values as in a PacketCapture."""
    if protocol is None and ports is None:
        return []
    given = {"protocol": protocol or "TCP", "ports": ports.split(",") if ports else []}
    try:
        asked = CaptureFilter.model_validate(given)
    except ValueError as error:
        fail(exits.USAGE, f"cannot capture: {_first(error)}")
    for complaint in (item for condition in CONDITIONS[CaptureFilter] for item in condition(asked)):
        fail(exits.USAGE, f"cannot capture: ports {complaint.message}")
    return [Wanted(asked.protocol, tuple(port for port in asked.ports if isinstance(port, PortRange)))]


def _first(error: ValueError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line.startswith("Value error")), lines[-1]).removeprefix("Value error, ")


class _Bounds:
    """Until when packets are recorded; what comes first ends it."""

    def __init__(self, seconds: float, packets: int, max_bytes: int) -> None:
        self._clock = SystemClock()
        self._ends_at = self._clock.now() + seconds if seconds else None
        self._packets = packets
        self._max_bytes = max_bytes
        self._count = 0
        self._is_interrupted = False

    def record(self, interfaces: Sequence[str], wanted: Sequence[Wanted], write: Path) -> None:
        """Records the packets of these interfaces as they come."""
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        try:
            with contextlib.ExitStack() as stack:
                taps = [stack.enter_context(Tap(interface, wanted)) for interface in interfaces]
                if len({tap.link_type for tap in taps}) > 1:
                    fail(exits.NO, "cannot capture interfaces of different kinds into one file: name one workload")
                file = stack.enter_context(_opened(write))
                file.write(pcap.file_header(taps[0].link_type, SNAPLEN_BYTES))
                file.flush()
                say(f"capturing on {', '.join(interfaces)}")
                self._loop(taps, file)
                lost = sum(tap.count_dropped() for tap in taps)
        except TapError as error:
            fail(exits.KERNEL, str(error))
        except BrokenPipeError:
            return  # whoever read the pipe has seen enough
        except OSError as error:
            fail(exits.NO, f"cannot write {write}: {error.strerror}")
        say(f"{self._count} packets captured, {lost} lost")

    def _loop(self, taps: Sequence[Tap], file: BinaryIO) -> None:
        written = pcap.FILE_HEADER_BYTES
        with selectors.DefaultSelector() as ready:
            for tap in taps:
                ready.register(tap, selectors.EVENT_READ, tap)
            while not self._is_over():
                for key, _ in ready.select(self._patience()):
                    for packet in key.data.packets():
                        data = pcap.record(packet)
                        written += len(data)
                        if written > self._max_bytes:
                            return
                        file.write(data)
                        self._count += 1
                        if self._is_over():
                            return
                file.flush()

    def _is_over(self) -> bool:
        is_late = self._ends_at is not None and self._clock.now() >= self._ends_at
        return self._is_interrupted or is_late or 0 < self._packets <= self._count

    def _patience(self) -> float:
        return 0.2 if self._ends_at is None else min(0.2, max(0.0, self._ends_at - self._clock.now()))

    def _interrupt(self, *_: object) -> None:
        self._is_interrupted = True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == _STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path.touch(mode=0o600)
    with path.open("wb") as file:
        yield file
