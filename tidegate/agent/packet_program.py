"""What `tidegate packets` runs: the packet process, without what other commands need.

Tables, servers and models take 15 MB and a third of its start; half a million names leave none to give away.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tidegate.agent import handover, packets

STATE = Path("/var/lib/tidegate")


def main(arguments: Sequence[str]) -> int:
    """Runs until it is told to stop; the exit code (see `tidegate.cli.exits`)."""
    parser = argparse.ArgumentParser(prog="tidegate packets")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument(handover.FLAG, dest="sockets", default="")
    options = parser.parse_args(arguments)
    try:
        packets.run(options.state.absolute(), handover.read(options.sockets))
    except ValueError:
        sys.stderr.write(f"{handover.FLAG}: cannot read {options.sockets!r}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot run the packet process: {error}\n")
        return 1
    return 0
