"""The command line: `tidegate`, and `python -m tidegate`."""

import importlib
import sys

_HELP = {"--help", "-h"}


def main() -> None:
    """Runs the command that the words name.

    The packet process starts here as well, and holds what it imports for as long as it lives.
    """
    words = sys.argv[1:]
    if words[:1] == ["packets"] and _HELP.isdisjoint(words):
        sys.exit(importlib.import_module("tidegate.agent.packet_program").main(words[1:]))
    importlib.import_module("tidegate.cli.main").run()


if __name__ == "__main__":
    main()
