"""The commands' side of the API: plain HTTP over the Unix socket, from the standard library."""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

_TIMEOUT_SECONDS = 30.0
"""The slowest answer lists the counters of thousands of rules, in well under a second."""


class AgentUnreachableError(Exception):
    """Nobody answers on the socket, or behind it; the message is one line and says who."""


class AgentRefusedError(Exception):
    """The agent answered that it cannot do what was asked; the message is its reason."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a path instead of a host and port."""

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("tidegate", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        """Connects to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ApiClient:
    """Asks the agent; holds no connection between questions."""

    def __init__(self, path: Path, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds

    def get(self, what: str, parameters: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """The document at `/v1/<what>`.

        Raises:
            AgentUnreachableError: nobody listens, or the answer did not come.
            AgentRefusedError: the agent says why not.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        return json.loads(self._ask("GET", f"/v1/{what}{query}"))

    def post(self, what: str) -> Any:  # noqa: ANN401 - any JSON
        """Has the agent do `what`. Raises as `get` does."""
        return json.loads(self._ask("POST", f"/v1/{what}"))

    def text(self, path: str) -> str:
        """The text at a path (`/metrics`). Raises as `get` does."""
        return self._ask("GET", path).decode()

    def _ask(self, method: str, target: str) -> bytes:
        connection = _UnixConnection(self._path, self._timeout_seconds)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AgentUnreachableError(f"cannot reach the agent at {self._path}: {_cause(error)}") from error
        finally:
            connection.close()
        if response.status == http.client.SERVICE_UNAVAILABLE:
            raise AgentUnreachableError(_reason(body, response.status))
        if response.status != http.client.OK:
            raise AgentRefusedError(_reason(body, response.status))
        return body


def _cause(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "it is not running"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _reason(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"cannot get an answer: HTTP status {status}"
