"""`tidegate packets`: the packet process. The control process starts it; by hand it is for units and for debugging."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.agent import packet_program

StateOption = Annotated[Path, typer.Option("--state", help="The state directory it shares with the control process.")]


def packets(*, state: StateOption = packet_program.STATE) -> None:
    """Run the packet process: learns names, writes set elements, gives verdicts."""
    raise typer.Exit(packet_program.main(["--state", str(state)]))
