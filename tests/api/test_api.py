"""The API over a real Unix socket: answers, refusals, and who may connect."""

import asyncio
import stat
from ipaddress import ip_address

import pytest

from tidegate.api import server
from tidegate.api.client import AgentRefusedError, AgentUnreachableError, ApiClient
from tidegate.api.question import QuestionError, SilenceError


async def _names(parameters):
    if parameters.get("endpoint") == "nonsense":
        raise QuestionError("cannot find an endpoint 'nonsense'")
    if parameters.get("endpoint") == "silent":
        raise SilenceError("cannot ask the packet process: it is away")
    return [{"name": "api.test", "ip": ip_address("198.51.100.1"), "asked": dict(parameters)}]


async def _remove(_):
    return {"done": True}


async def _metrics():
    return "tidegate_ready 1\n"


async def _with_server(path, ask):
    app = server.build_app({"names": _names}, {"remove": _remove}, _metrics)
    task = asyncio.get_running_loop().create_task(server.serve(app, server.listen(path)))
    try:
        return await asyncio.to_thread(ask)
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def _ask(path, ask):
    return asyncio.run(_with_server(path, ask))


def test_a_query_is_answered_with_its_parameters(tmp_path):
    client = ApiClient(tmp_path / "s")
    answer = _ask(tmp_path / "s", lambda: client.get("names", {"endpoint": "a/b c"}))
    assert answer == [{"name": "api.test", "ip": "198.51.100.1", "asked": {"endpoint": "a/b c"}}]


def test_a_command_needs_post(tmp_path):
    client = ApiClient(tmp_path / "s")

    def ask():
        with pytest.raises(AgentRefusedError, match="405"):
            client.get("remove")
        return client.post("remove")

    assert _ask(tmp_path / "s", ask) == {"done": True}


def test_a_refusal_says_why(tmp_path):
    client = ApiClient(tmp_path / "s")

    def ask():
        with pytest.raises(AgentRefusedError, match="cannot find an endpoint 'nonsense'"):
            client.get("names", {"endpoint": "nonsense"})
        with pytest.raises(AgentUnreachableError, match="cannot ask the packet process: it is away"):
            client.get("names", {"endpoint": "silent"})
        with pytest.raises(AgentRefusedError, match="404"):
            client.get("nothing")
        return client.text("/metrics")

    assert _ask(tmp_path / "s", ask) == "tidegate_ready 1\n"


def test_only_the_owner_may_connect(tmp_path):
    path = tmp_path / "deep" / "s"
    with server.listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_nobody_serves_any_more_is_replaced_and_a_served_one_is_not(tmp_path):
    path = tmp_path / "s"
    server.listen(path).close()
    assert path.exists()
    with server.listen(path), pytest.raises(server.SocketBusyError):
        server.listen(path)


@pytest.mark.parametrize("exists", [True, False])
def test_nobody_at_the_socket_is_one_line(tmp_path, exists):
    path = tmp_path / "s"
    if exists:
        server.listen(path).close()
    with pytest.raises(AgentUnreachableError) as caught:
        ApiClient(path).get("status")
    assert str(caught.value) == f"cannot reach the agent at {path}: it is not running"
