"""Requests to an API server, and as whom they are made: the only place that knows the client library.

Who we are is read anew every minute and after each 401, so that a token that was rotated is used before the old one
ends. Of the library are taken how kubeconfig files and service accounts say it (tokens, files, certificates, programs),
and its pool of connections; objects stay as JSON has them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from reconcile.clock import Clock
from reconcile.instant import Instant
from tidegate.store.kube.errors import UNAUTHORIZED, KubeError

IDENTITY_SECONDS = 60.0
"""How long a token is used before it is read anew (kubelet rotates at 80 % of an hour; client-go: one minute)."""
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""Without a byte of an answer; the API server itself gives up at 60 s."""
MAX_EVENT_BYTES = 32 * 1024 * 1024
"""Of one event of a watch. etcd takes objects of 1.5 MB."""
OPENED = "OPENED"
"""The type of an event that no server sends: it has begun to answer."""
_CONNECTIONS = 128
"""At a time: more than there are collections."""
_MAX_MESSAGE = 300


class Api(Protocol):
    """What informers need of an API server."""

    async def fetch(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The object at a path.

        Raises:
            KubeError: the server refused, or cannot be asked.
        """

    def stream(self, path: str, query: Mapping[str, str], idle_seconds: float) -> AsyncIterator[dict[str, Any]]:
        """`OPENED`, then the events of a watch, until the server ends it or nothing has come for so long.

        Raises:
            KubeError: the server refused, cannot be asked, or what it says is no event.
        """


class Connection:
    """Holds state: the pool of connections, and who we are. Must live in one event loop."""

    def __init__(self, kubeconfig: Path | None, clock: Clock, user_agent: str) -> None:
        """With None as the file we are the service account of the pod in which we run."""
        self._kubeconfig = kubeconfig
        self._clock = clock
        self._user_agent = user_agent
        self._client: Any = None
        self._identified: Instant | None = None
        self._identifying = asyncio.Lock()

    async def fetch(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """See `Api`."""
        async with self._answer(path, query, ANSWER_SECONDS) as answer:
            found = json.loads(await answer.read())
        if not isinstance(found, dict):
            raise KubeError(0, f"cannot read {path}: it is no object")
        return found

    async def merge(self, path: str, changes: Mapping[str, Any]) -> None:
        """Merges the changes into the object at a path (RFC 7396): what is null goes.

        Raises:
            KubeError: the server refused, or cannot be asked.
        """
        async with self._answer(path, {}, ANSWER_SECONDS, changes) as answer:
            await answer.read()

    async def stream(self, path: str, query: Mapping[str, str], idle_seconds: float) -> AsyncIterator[dict[str, Any]]:
        """See `Api`."""
        async with self._answer(path, query, idle_seconds) as answer:
            yield {"type": OPENED}
            async for line in _lines(answer.content.iter_any()):
                event = json.loads(line)
                if not isinstance(event, dict):
                    raise KubeError(0, f"cannot read an event of {path}: it is no object")
                yield event

    async def close(self) -> None:
        """Closes all connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @asynccontextmanager
    async def _answer(
        self, path: str, query: Mapping[str, str], idle_seconds: float, changes: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Any]:
        from aiohttp import ClientError, ClientTimeout  # noqa: PLC0415 - only where an API server is asked

        timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle_seconds)
        try:
            client, headers = await self._identity()
            url = f"{client.configuration.host}{path}?{urlencode(query)}"
            if changes is None:
                found = await client.request("GET", url, headers=headers, _request_timeout=timeout)
            else:
                headers["Content-Type"] = "application/merge-patch+json"
                found = await client.request("PATCH", url, headers=headers, body=changes, _request_timeout=timeout)
            answer = found.response
            try:
                if answer.status != 200:
                    raise await self._refusal(answer)
                yield answer
            finally:
                answer.close()
        except (ClientError, OSError, TimeoutError) as error:
            raise KubeError(0, f"cannot ask the API server: {error or type(error).__name__}") from error
        except ValueError as error:
            raise KubeError(0, f"cannot read what the API server says: {error}") from error

    async def _refusal(self, answer: Any) -> KubeError:  # noqa: ANN401 - the library's own
        """What the server says (Kubernetes: Status), and at 401 another identity for the next request."""
        text = (await answer.content.read(65536)).decode(errors="replace")
        try:
            message = str(json.loads(text)["message"])
        except (ValueError, KeyError, TypeError):
            message = text
        if answer.status == UNAUTHORIZED:
            self._identified = None
        return KubeError(answer.status, f"{answer.status} {message[:_MAX_MESSAGE]}".strip())

    async def _identity(self) -> tuple[Any, dict[str, str]]:
        now = self._clock.now()
        async with self._identifying:  # all informers begin at once
            if self._client is None or self._identified is None or now - self._identified >= IDENTITY_SECONDS:
                await self._identify()
                self._identified = now
        client = self._client
        token = await client.configuration.get_api_key_with_prefix("BearerToken")
        headers = {"User-Agent": self._user_agent, "Accept": "application/json"}
        return client, headers if token is None else {**headers, "Authorization": token}

    async def _identify(self) -> None:
        """Reads who we are; connections stay open unless certificates or the server are others.

        Raises:
            KubeError: it cannot be read.
        """
        configuration = await self._configured()
        old = self._client
        if old is not None and _place(old.configuration) == _place(configuration):
            old.configuration.api_key = configuration.api_key
            old.configuration.refresh_api_key_hook = configuration.refresh_api_key_hook
            return
        from kubernetes.aio.client.rest import RESTClientObject  # noqa: PLC0415 - as above

        # Requests that run on the old connections end by themselves: nobody else holds them.
        self._client = RESTClientObject(configuration)
        if old is not None:
            await old.close()

    async def _configured(self) -> Any:  # noqa: ANN401 - the library's own
        try:
            from kubernetes.aio import config  # noqa: PLC0415 - as above
            from kubernetes.aio.client import Configuration  # noqa: PLC0415
        except ImportError as error:
            raise KubeError(0, "cannot ask an API server without its client: install tidegate[kube]") from error
        made = Configuration()
        made.connection_pool_maxsize = _CONNECTIONS
        try:
            if self._kubeconfig is None:
                config.load_incluster_config(client_configuration=made)
            else:
                self._kubeconfig.stat()
                await config.load_kube_config(config_file=str(self._kubeconfig), client_configuration=made)
        except Exception as error:
            # Files that others write, read by a library: what it raises for them is not said anywhere.
            raise KubeError(0, f"cannot tell who we are to the API server: {error}") from error
        return made


def _place(configuration: Any) -> tuple[object, ...]:  # noqa: ANN401 - the library's own
    """What a pool of connections is made for: where it leads, and with which certificates."""
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    contents = tuple(Path(name).read_bytes() if name else None for name in files)
    return (configuration.host, configuration.verify_ssl, configuration.tls_server_name, *contents)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream; a rest without an end is a broken connection, and is dropped.

    Raises:
        KubeError: a line is too long.
    """
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in lines:
                if line.strip():
                    yield line
        if len(rest) > MAX_EVENT_BYTES:
            raise KubeError(0, f"cannot read an event of more than {MAX_EVENT_BYTES} bytes")
