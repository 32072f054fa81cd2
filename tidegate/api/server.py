"""The agent's side of the API: Starlette's routing and uvicorn's HTTP on a Unix socket.

What is answered comes from a table of queries that the wiring makes; this module knows how to ask, not what is true.
"""

import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tidegate.api.question import QuestionError, SilenceError

Document = Mapping[str, object] | list[Mapping[str, object]]
"""What becomes JSON."""

Listener = socket.socket

Query = Callable[[Mapping[str, str]], Awaitable[Document]]
"""Answers a question with these parameters; raises `QuestionError` for parameters it cannot use (HTTP 400), and
`SilenceError` where nobody answers now (503)."""


class SocketBusyError(Exception):
    """Another agent listens on the path already."""


class JsonResponse(Response):
    """A JSON document; addresses and the like become text."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encodes it."""
        return json.dumps(content, ensure_ascii=False, default=str).encode()


def build_app(
    queries: Mapping[str, Query], commands: Mapping[str, Query], metrics: Callable[[], Awaitable[str]]
) -> Starlette:
    """Routes: `GET /v1/<query>`, `POST /v1/<command>`, and `GET /metrics` in Prometheus' text form."""
    routes = [Route(f"/v1/{name}", _endpoint(query), methods=["GET"]) for name, query in queries.items()]
    routes += [Route(f"/v1/{name}", _endpoint(command), methods=["POST"]) for name, command in commands.items()]

    async def show_metrics(_: Request) -> Response:
        return PlainTextResponse(await metrics(), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[*routes, Route("/metrics", show_metrics)])


def _endpoint(query: Query) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return JsonResponse(await query(request.query_params))
        except QuestionError as error:
            return JsonResponse({"error": str(error)}, status_code=400)
        except SilenceError as error:
            return JsonResponse({"error": str(error)}, status_code=503)

    return answer


def listen(path: Path) -> Listener:
    """A listening socket that only this user may connect to; takes the place of one that nobody serves any more.

    Raises:
        SocketBusyError: an agent answers there.
        OSError: the directory cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_served(path):
        raise SocketBusyError(f"cannot listen on {path}: another agent does")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right before anybody can connect, so it is the mask that sets it.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.listen(64)
    return listener


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class _Server(uvicorn.Server):
    """Leaves signals to the program that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


async def serve(app: Starlette, listener: Listener) -> None:
    """Answers until cancelled; then gives the answers at hand a second to get out."""
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    try:
        await server.serve(sockets=[listener])
    finally:
        if server.started:
            await server.shutdown(sockets=[listener])
        listener.close()
