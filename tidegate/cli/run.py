"""`tidegate run`: the agent, in the network namespace in which it is started."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nft.errors import NftError
from tidegate.agent import logs, stored_documents
from tidegate.agent.control import Ending, control
from tidegate.api.server import SocketBusyError
from tidegate.cli import exits
from tidegate.cli.configuration import ConfigOption, SetOption, load, read
from tidegate.cli.output import Output, OutputOption, fail, print_json, print_table
from tidegate.config.sources import ConfigError, Configuration

ResourcesOption = Annotated[Path | None, typer.Option("--resources", help="Directory with policy and workloads.")]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="File that names the API server with policy and workloads.")
]
KubernetesOption = Annotated[
    bool | None, typer.Option("--kubernetes", help="Take policy and workloads from the cluster this pod runs in.")
]
NodeOption = Annotated[str | None, typer.Option("--node", help="Which node this is; the machine's name by default.")]
StateOption = Annotated[Path | None, typer.Option("--state", help="Directory for what survives restarts.")]
SocketOption = Annotated[Path | None, typer.Option("--socket", help="Where the API listens.")]
PrintOption = Annotated[bool, typer.Option("--print-config", help="Show every setting with its source, and end.")]
RemoveOption = Annotated[
    bool, typer.Option("--remove-on-exit", help="Take the table and the packet process out at the end.")
]


def run(  # noqa: PLR0913 - the flags of the command
    *,
    resources: ResourcesOption = None,
    kubeconfig: KubeconfigOption = None,
    kubernetes: KubernetesOption = None,
    node: NodeOption = None,
    state: StateOption = None,
    socket: SocketOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    print_config: PrintOption = False,
    remove_on_exit: RemoveOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the agent. SIGTERM leaves policy in force; SIGHUP reads the configuration anew."""
    flags = {
        "resources": resources,
        "kubeconfig": kubeconfig,
        "kubernetes": kubernetes,
        "node": node,
        "state": state,
        "socket": socket,
    }
    configuration = _with_documents(load(config, assignments, flags), config, assignments or (), flags)
    if print_config:
        _print(configuration, output)
        return
    settings = configuration.settings
    logs.configure(settings.log_severity_screen, settings.log_format)
    try:
        ending = asyncio.run(
            control(
                settings,
                lambda documents: read(config, assignments or (), flags, documents),
                removes_on_exit=remove_on_exit,
            )
        )
    except ValueError as error:
        fail(exits.USAGE, str(error))
    except NftError as error:
        fail(exits.KERNEL, str(error))
    except (SocketBusyError, OSError) as error:
        fail(exits.NO, str(error))
    if ending is Ending.RESTART:
        os.execv(sys.executable, [sys.executable, "-m", "tidegate", *sys.argv[1:]])  # noqa: S606


def _with_documents(
    configuration: Configuration, config: Path | None, assignments: Sequence[str], flags: Mapping[str, object]
) -> Configuration:
    """With what documents said when they were last read; without it where that is none of this program's settings."""
    documents = stored_documents.read(configuration.settings.state)
    try:
        return read(config, assignments, flags, documents) if documents else configuration
    except ConfigError:
        return configuration


def _print(configuration: Configuration, output: Output) -> None:
    shown = configuration.shown()
    if output is Output.JSON:
        print_json(shown)
        return
    rows = [
        (item["name"], ", ".join(value) if isinstance(value := item["value"], list) else value, item["source"])
        for item in shown
    ]
    print_table("configuration", ("setting", "value", "source"), rows)
