"""The entry point of the command line."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """DNS-aware egress policy for Linux."""


def run() -> None:
    """Runs the command line."""
    app()
