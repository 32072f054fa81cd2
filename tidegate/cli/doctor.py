"""`tidegate doctor`: what this machine can do, what is missing, and how to mend it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from tidegate.agent.doctor import Check, Finding, Verdict, checks
from tidegate.agent.machine import Machine
from tidegate.cli import exits
from tidegate.cli.configuration import ConfigOption, SetOption, load
from tidegate.cli.output import Output, OutputOption, print_json, print_table

_STYLES = {Verdict.GOOD: "green", Verdict.WARNING: "yellow", Verdict.BAD: "red"}


def doctor(
    *,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Examine this machine: privileges, the kernel's features, queues, other rule sets. Changes nothing.

    Exits with 1 if the agent could not do its job.
    """
    settings = load(config, assignments).settings
    findings = list(_examine(checks(Machine(), settings)))
    if output is Output.JSON:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table("doctor", ("what", "verdict", "finding", "mend"), map(_row, findings))
    raise typer.Exit(exits.NO if any(item.verdict is Verdict.BAD for item in findings) else exits.DONE)


def _examine(wanted: Mapping[str, Check]) -> Iterator[Finding]:
    console = Console(stderr=True)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("", total=len(wanted))
        for name, check in wanted.items():
            progress.update(task, description=name, advance=1)
            yield from check()


def _row(finding: Finding) -> tuple[object, ...]:
    return finding.name, Text(finding.verdict, style=_STYLES[finding.verdict]), finding.finding, finding.mend
