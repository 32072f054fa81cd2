"""`tidegate truth`: who reaches whom, as policy says and as packets find it, and the difference."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import exits
from tidegate.cli.output import Output, OutputOption, fail, print_json, say, say_out
from tidegate.cli.resources import ResourcesOption, load
from tidegate.demo.namespace import LabError
from tidegate.truth.cases import TruthError, container_ports, parse_port
from tidegate.truth.table import Truth, lines
from tidegate.truth.verification import find_truth


class Family(StrEnum):
    """Which addresses are used."""

    IPV4 = "4"
    IPV6 = "6"
    BOTH = "both"


_FAMILIES = {Family.IPV4: (4,), Family.IPV6: (6,), Family.BOTH: (4, 6)}

PortsOption = Annotated[
    list[str] | None,
    typer.Option("--port", help="Probed on every pod: 443/TCP or 53/UDP. Again for more. Those of the pods otherwise."),
]
FamilyOption = Annotated[Family, typer.Option("--family", help="Of the addresses that are used.")]
ToldOption = Annotated[
    Path | None,
    typer.Option("--agent-resources", help="What the agent reads instead: a deliberate fault, to see it found."),
]


def truth(
    *,
    resources: ResourcesOption,
    port: PortsOption = None,
    family: FamilyOption = Family.BOTH,
    agent_resources: ToldOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Build the pods of the documents, try every connection between them, and compare with what policy says.

    Everything happens in network namespaces that vanish afterwards. Exits with 3 where packets and policy differ.
    """
    if os.geteuid() != 0:
        fail(exits.NO, "cannot make network namespaces: run it as root")
    known = load(resources)
    try:
        ports = tuple(sorted({parse_port(text) for text in port})) if port else container_ports(known)
        found = find_truth(known, agent_resources or resources, ports, _FAMILIES[family])
    except (TruthError, LabError) as error:
        fail(exits.NO, str(error))
    _show(found, output)
    raise typer.Exit(exits.DISAGREE if found.differences else exits.DONE)


def _show(found: Truth, output: Output) -> None:
    if output is Output.JSON:
        print_json(found.document)
        return
    for line in lines(found):
        say_out(line)
    say(f"{len(found.asked)} probes in {found.seconds:.1f} s, {len(found.differences)} differences")
