"""How the commands that show something ask the agent for it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.api.client import AgentRefusedError, AgentUnreachableError, ApiClient
from tidegate.cli import exits
from tidegate.cli.output import fail

DEFAULT_SOCKET = Path("/run/tidegate/tidegate.sock")

SocketOption = Annotated[
    Path, typer.Option("--socket", envvar="TIDEGATE_SOCKET", help="The agent's API socket.", show_default=True)
]


def ask(socket: Path, what: str, parameters: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - any JSON
    """The agent's answer.

    Raises:
        typer.Exit: 4 where it cannot be reached, 2 where it refuses the question.
    """
    return _answer(lambda: ApiClient(socket).get(what, parameters))


def command(socket: Path, what: str) -> Any:  # noqa: ANN401 - any JSON
    """Has the agent do something; what it says then. Raises as `ask` does."""
    return _answer(lambda: ApiClient(socket).post(what))


def _answer(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON
    try:
        return call()
    except AgentUnreachableError as error:
        fail(exits.UNREACHABLE, str(error))
    except AgentRefusedError as error:
        fail(exits.USAGE, str(error))
