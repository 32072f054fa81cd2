"""What commands print: one JSON document for programs, tables for people, one line for failures."""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Output(StrEnum):
    """The form of standard output."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="A table, or one JSON document.")]


def print_json(document: object) -> None:
    """Prints one JSON document and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; an empty one says so. Cells are text, never markup."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        console.print(f"{title}: none", markup=False, highlight=False)


def say_out(line: str) -> None:
    """Prints a line to standard output: it is what was asked for."""
    sys.stdout.write(line + "\n")


def say_now(line: str) -> None:
    """The same for streams: whoever reads a pipe has it at once."""
    say_out(line)
    sys.stdout.flush()


def say(line: str) -> None:
    """Prints a line for people to standard error."""
    sys.stderr.write(line + "\n")


def fail(code: int, message: str) -> NoReturn:
    """Ends the command with a line on standard error.

    Raises:
        typer.Exit: always.
    """
    say(message)
    raise typer.Exit(code)


def verdict_text(word: str, *, is_good: bool) -> Text:
    """A coloured word."""
    return Text(word, style="green" if is_good else "red")


def duration_text(seconds: float | None) -> str:
    """A duration for people: `3m 20s`; None is for ever."""
    if seconds is None:
        return "for ever"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m"
