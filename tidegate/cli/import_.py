"""`tidegate import`: other systems' policies as Calico's, and what does not carry over."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated

import typer

from policy.cilium import Effect, Network, Remark, identity, import_document
from tidegate.cli import exits
from tidegate.cli.output import Output, fail, print_json, say, say_out
from tidegate.cli.validate import PathsArgument
from tidegate.store import tree
from tidegate.store.document import Document, line_of
from tidegate.store.documents import read
from tidegate.store.entries import singles
from tidegate.store.examination import Source, sources
from tidegate.store.yaml_writer import write_yaml

NetworksOption = Annotated[
    list[str] | None,
    typer.Option("--cluster-network", metavar="CIDR", help="Of pods, services or nodes; once for each."),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="YAML with remarks beside it, or one document.")]


@dataclass(frozen=True, slots=True)
class Told:
    """A remark with its place."""

    file: str
    line: int
    remark: Remark


def import_policies(
    paths: PathsArgument,
    *,
    cluster_network: NetworksOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Read Cilium's policies and print Calico's that mean the same; what differs goes to standard error.

    Exits with 1 if anything means less or more than it did.
    """
    networks = tuple(map(_network, cluster_network or ()))
    try:
        files = sources(paths)
    except tree.StoreError as error:
        fail(exits.NO, str(error))
    made: dict[tuple[object, ...], object] = {}
    told: list[Told] = []
    for file in files:
        for document in _documents(file):
            told += _imported(file, document, networks, made)
    _print(list(made.values()), told, output)
    raise typer.Exit(exits.NO if any(each.remark.effect is not Effect.DIFFERENT for each in told) else exits.DONE)


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        fail(exits.USAGE, f"--cluster-network: {text!r} is no network")


def _documents(file: Source) -> Iterator[Document]:
    try:
        content = tree.content(file.root, file.name) or b""
    except tree.StoreError as error:
        fail(exits.NO, str(error))
    for document in read(content, is_json=file.name.endswith(".json")):
        for fault in document.faults:
            fail(exits.NO, f"{file.shown}:{document.line}: {fault.message}")
        yield from singles(document)


def _imported(
    file: Source, document: Document, networks: tuple[Network, ...], made: dict[tuple[object, ...], object]
) -> Iterator[Told]:
    """Adds what the document became; tiers that several need count once."""
    imported = import_document(document.value, networks)
    if imported is None:
        remark = Remark("kind", Effect.DIFFERENT, "is no policy of Cilium's, and is left out")
        yield Told(file.shown, document.line, remark)
        return
    for became in imported.documents:
        made.setdefault(identity(became), became)
    for remark in imported.remarks:
        yield Told(file.shown, line_of(document, remark.path), remark)


def _print(made: list[object], told: list[Told], output: Output) -> None:
    if output is Output.JSON:
        print_json({"documents": made, "remarks": [_document(each) for each in told]})
        return
    if made:
        say_out(write_yaml(made).rstrip())
    for each in told:
        say(f"{each.file}:{each.line}: {each.remark.path}: {each.remark.effect}: {each.remark.message}")


def _document(told: Told) -> dict[str, object]:
    remark = told.remark
    place = {"file": told.file, "line": told.line, "path": remark.path}
    return {**place, "effect": remark.effect.value, "message": remark.message}
