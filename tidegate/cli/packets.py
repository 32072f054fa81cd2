"""`tidegate packets`: the packet process. The control process starts it; by hand it is for units and for debugging."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.agent import handover
from tidegate.agent import packets as process
from tidegate.cli import exits
from tidegate.cli.output import fail

StateOption = Annotated[Path, typer.Option("--state", help="The state directory it shares with the control process.")]


SocketsOption = Annotated[
    str, typer.Option(handover.FLAG, hidden=True, help="Descriptors that the program before this one has left open.")
]


def packets(*, state: StateOption = Path("/var/lib/tidegate"), sockets: SocketsOption = "") -> None:
    """Run the packet process: learns names, writes set elements, gives verdicts."""
    try:
        process.run(state.absolute(), handover.read(sockets))
    except ValueError:
        fail(exits.USAGE, f"{handover.FLAG}: cannot read {sockets!r}")
    except OSError as error:
        fail(exits.NO, f"cannot run the packet process: {error}")
