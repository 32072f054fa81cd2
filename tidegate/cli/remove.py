"""`tidegate remove`: takes out what the agent leaves in force when it ends: the table and the packet process."""

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from dnsagent.link import LinkError
from nft.errors import NftError
from tidegate.agent.control import remove_traces
from tidegate.agent.footprint import Footprint, footprint_path, read_footprint
from tidegate.agent.namespaces import in_namespace, namespace_of
from tidegate.agent.packet_client import PacketClient
from tidegate.api.client import AgentRefusedError, AgentUnreachableError, ApiClient
from tidegate.cli import exits
from tidegate.cli.output import fail, say
from tidegate.cli.query import DEFAULT_SOCKET, SocketOption

_END_SECONDS = 15.0
_POLL_SECONDS = 0.05
_DEFAULT_STATE = Path("/var/lib/tidegate")

StateOption = Annotated[
    Path | None, typer.Option("--state", help="The agent's state directory, where it left no word of it.")
]


def remove(*, state: StateOption = None, socket: SocketOption = DEFAULT_SOCKET) -> None:
    """Take out the table and the packet process, whether an agent runs or not. Nothing is filtered any more."""
    try:
        if _ask_agent(socket):
            say("removed by the running agent, which has ended")
            return
        _remove_what_was_left(socket, state)
    except NftError as error:
        fail(exits.KERNEL, str(error))
    except (OSError, AgentRefusedError) as error:
        fail(exits.NO, f"cannot remove everything: {error}")
    say("removed")


def _ask_agent(socket: Path) -> bool:
    """Has a running agent do it, and waits for its end."""
    client = ApiClient(socket)
    try:
        client.post("remove")
    except AgentUnreachableError:
        return False
    deadline = time.monotonic() + _END_SECONDS  # noqa: TID251 - a person is waiting
    while footprint_path(socket).exists():
        if time.monotonic() > deadline:  # noqa: TID251
            raise TimeoutError("the agent does not end")
        time.sleep(_POLL_SECONDS)  # noqa: TID251
    return True


def _remove_what_was_left(socket: Path, state: Path | None) -> None:
    left = read_footprint(socket) or Footprint(state=str(_DEFAULT_STATE), table="tidegate")
    client = PacketClient(state or Path(left.state))
    try:
        pid = client.status().pid
    except LinkError:
        remove_traces(left)
    else:
        # The packet process lives where the table is, which need not be where we are.
        namespace = namespace_of(pid)
        try:
            _end_process(client, pid)
            in_namespace(namespace, lambda: remove_traces(left))
        finally:
            os.close(namespace)
    footprint_path(socket).unlink(missing_ok=True)


def _end_process(client: PacketClient, pid: int) -> None:
    """Asks it to end, and insists after a while."""
    client.stop()
    deadline = time.monotonic() + _END_SECONDS  # noqa: TID251
    while _is_alive(pid):
        if time.monotonic() > deadline:  # noqa: TID251
            os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)  # noqa: TID251


def _is_alive(pid: int) -> bool:
    """A process that has ended but was not waited for is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
