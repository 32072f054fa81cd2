"""`tidegate render`: the rules of a node as an nft script, without a kernel and without an agent."""

import sys
from typing import Annotated

import typer

from dnsagent.snapshot import TrustedServer
from tidegate.cli import configuration
from tidegate.cli.configuration import ConfigOption, SetOption
from tidegate.cli.output import say
from tidegate.cli.resources import ResourcesOption, load
from tidegate.judge.configured import documents_for
from tidegate.judge.nodes import node_names, node_state
from tidegate.render import render_table
from tidegate.render.script import script
from tidegate.render.settings import from_configuration

NodeOption = Annotated[str, typer.Option("--node", help="Whose workloads are local.", show_default=False)]


def render(
    *, resources: ResourcesOption, node: NodeOption, config: ConfigOption = None, assignments: SetOption = None
) -> None:
    """Print the nft script for a node. The same resources and settings give the same text.

    Trusted DNS servers stand in it if the configuration gives their addresses; names of servers depend on the machine.
    """
    known = load(resources)
    settings = configuration.load(config, assignments, documents=documents_for(known, node)).settings
    servers = tuple(item for item in settings.dns_trusted_servers if isinstance(item, TrustedServer))
    nodes = node_names(known)
    if node not in nodes:
        say(f"no workload of the resources is on node {node!r}; there are {', '.join(sorted(nodes)) or 'no workloads'}")
    sys.stdout.write(script(render_table(node_state(known, node), from_configuration(settings, servers))))
