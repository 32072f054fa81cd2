"""`tidegate version`."""

import platform
from importlib import metadata

from tidegate.cli.output import Output, OutputOption, print_json, say_out


def version(*, output: OutputOption = Output.TABLE) -> None:
    """Print the version of the program and of what it runs on."""
    document = {
        "version": metadata.version("tidegate"),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    if output is Output.JSON:
        print_json(document)
    else:
        say_out(f"tidegate {document['version']} (Python {document['python']}, Linux {document['kernel']})")
