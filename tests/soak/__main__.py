"""`python -m tests.soak [--pairs N] [--seconds N]` (root). Prints what it found as JSON; ends with 1 at any fault."""

import argparse
import json
import sys

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.soak.run import soak


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=6 * 3600.0)
    arguments = parser.parse_args()
    columns = (
        TextColumn("resolve, connect"),
        *Progress.get_default_columns()[1:],
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("pairs", total=arguments.pairs)
        outcome = soak(arguments.pairs, arguments.seconds, lambda pairs: progress.update(task, completed=pairs))
    print(json.dumps(outcome.document(), indent=1))
    return 1 if outcome.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
