"""`tidegate validate`: what is wrong with files, before they are put in force."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, fail, print_table, say_out
from tidegate.store.examination import Examination, Finding, Source, sources
from tidegate.store.tree import StoreError

_WORTH_A_BAR_BYTES = 300_000
"""Takes about a second."""

PathsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", help="Files, or directories of them.", exists=True, show_default=False),
]


def validate(paths: PathsArgument, *, output: OutputOption = Output.TABLE) -> None:
    """Check resources: every fault of every document, with file, line and field. Exits with 1 if there are any."""
    try:
        files = sources(paths)
    except StoreError as error:
        fail(exits.NO, str(error))
    findings = _findings(files)
    count = faulty = 0
    shown: list[Finding] = []
    for finding in findings:
        count += 1
        faulty += bool(finding.faults)
        if output is Output.JSON:
            say_out(json.dumps(_document(finding)))
        elif finding.faults:
            shown.append(finding)
    if output is Output.TABLE:
        _print(shown, count, len(files))
    raise typer.Exit(exits.NO if faulty else exits.DONE)


def _findings(files: Sequence[Source]) -> Iterator[Finding]:
    examination = Examination()
    is_quick = sum(file.size_bytes for file in files) < _WORTH_A_BAR_BYTES
    console = Console(stderr=True)
    bar = track(files, "validating", console=console, transient=True, disable=is_quick or not console.is_terminal)
    for file in bar:
        yield from examination.examine(file)


def _document(finding: Finding) -> dict[str, object]:
    identity, resource = finding.entry.identity, finding.entry.resource
    return {
        "file": finding.file,
        "index": finding.entry.index,
        "apiVersion": identity.api_version,
        "kind": identity.kind,
        "namespace": resource.metadata.namespace if resource else identity.namespace,
        "name": identity.name,
        "valid": not finding.faults,
        "errors": [{"path": fault.path, "message": fault.message} for fault in finding.faults],
    }


def _print(faulty: Sequence[Finding], count: int, files: int) -> None:
    for finding in faulty:
        say_out(_printable(f"{finding.file}:{finding.entry.line}: {_name(finding)}"))
        print_table("", ("line", "field", "what is wrong"), _rows(finding))
    counted = f"{count} resources in {files} files"
    say_out(f"{counted}: {len(faulty)} faulty" if faulty else f"{counted}: all valid")


def _rows(finding: Finding) -> Iterator[tuple[object, ...]]:
    for fault, line in zip(finding.faults, finding.lines, strict=True):
        yield line, _printable(fault.path), _printable(fault.message)


def _name(finding: Finding) -> str:
    identity = finding.entry.identity
    full = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
    return f"{identity.kind} {full}".strip() or "?"


def _printable(text: str) -> str:
    """The text, or its escaped form: names in files may hold what moves a terminal's cursor."""
    return text if text.isprintable() else ascii(text)
