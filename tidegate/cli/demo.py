"""`tidegate demo`: the main job on real packets, in namespaces that vanish afterwards."""

import os
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import LabError
from tidegate.demo.play import Played, example_directory, play, stage

EXIT_OK, EXIT_NO = 0, 1


def demo(
    *, keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards until Ctrl-C.")] = False
) -> None:
    """Play the main job on real packets: names learned, connections allowed and denied, and why."""
    console = Console()
    if os.geteuid() != 0:
        Console(stderr=True).print("cannot make network namespaces: run the demo as root")
        raise typer.Exit(EXIT_NO)
    try:
        status = _run(console, keep=keep)
    except LabError as error:
        Console(stderr=True).print(str(error), markup=False)
        status = EXIT_NO
    raise typer.Exit(status)


def _run(console: Console, *, keep: bool) -> int:
    started = time.perf_counter()
    with stage(example_directory(), lambda text: console.print(f"[dim]{text}[/dim]")) as (lab, agent):
        console.print(f"[dim]policy: {example_directory()}[/dim]\n")
        played = [_shown(console, result) for result in play(lab)]
        _show_names(console, agent)
        _show_reason(console, agent, played)
        if keep:
            _hold(console, lab, agent)
    wrong = sum(not result.is_as_expected for result in played)
    seconds = time.perf_counter() - started
    if wrong:
        console.print(f"\n[red]{wrong} of {len(played)} steps were not as the policy says[/red]")
        return EXIT_NO
    console.print(f"\n[green]all {len(played)} steps were as the policy says[/green], in {seconds:.1f} s")
    return EXIT_OK


def _shown(console: Console, result: Played) -> Played:
    verdict = "[green]connected[/green]" if result.outcome.is_connected else "[yellow]closed   [/yellow]"
    mark = " " if result.is_as_expected else "[red] not as the policy says[/red]"
    target = result.step.resolve or ""
    console.print(
        f"{verdict} {result.outcome.seconds * 1000:7.1f} ms  {result.step.pod:9} {target:22} "
        f"{result.address}:{result.step.port}{mark}\n                        [dim]{result.step.says}[/dim]"
    )
    return result


def _show_names(console: Console, agent: RunningAgent) -> None:
    table = Table("endpoint", "name", "address", title="what the agent has learned", title_justify="left")
    for entry in agent.ask("names"):
        table.add_row(str(entry["endpoint"]), str(entry["name"]), str(entry["ip"]))
    console.print()
    console.print(table)


def _show_reason(console: Console, agent: RunningAgent, played: list[Played]) -> None:
    denied = [item for item in played if not item.step.is_allowed and item.step.resolve == "collect.example.org"]
    for item in denied:
        words = ("explain", "--from", "demo/builder", "--to", f"{item.address}:{item.step.port}/TCP")
        console.print(f"\n[bold]tidegate {' '.join(words)}[/bold]")
        console.print(agent.call(*words, check=False).stdout.rstrip(), markup=False)


def _hold(console: Console, lab: Lab, agent: RunningAgent) -> None:
    console.print(f"\nleft running: ip netns exec {lab.pod('builder').namespace.name} sh")
    console.print(f"              tidegate status --socket {agent.socket}\nCtrl-C ends it")
    try:
        while True:
            time.sleep(3600)  # noqa: TID251 - a person is waiting, not the program
    except KeyboardInterrupt:
        return
