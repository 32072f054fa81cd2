"""Where records go besides the file: standard output, syslog, journald, an OpenTelemetry collector. Blocks."""

import http.client
import json
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, final
from urllib.parse import urlsplit

from tidegate.packetlog.formats import Record, journal_entry, otlp_body, syslog_message

DEV_LOG, JOURNAL = Path("/dev/log"), Path("/run/systemd/journal/socket")
_TIMEOUT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 65_536
_MAY_BE_RETRIED = frozenset({429, 502, 503, 504})
"""OTLP/HTTP: all other refusals are final."""


class SinkRefusedError(Exception):
    """These records will never be taken; says how many and why."""

    def __init__(self, records: int, reason: str) -> None:
        super().__init__(reason)
        self.records = records


class Sink(Protocol):
    """Somebody who takes records. Used by one thread."""

    @property
    def most(self) -> int:
        """Records of one `send`: they are taken all, or none."""

    def send(self, records: Sequence[Record]) -> None:
        """Hands them over.

        Raises:
            OSError: not now; the same records may be sent again.
            SinkRefusedError: some, or all, never.
        """

    def close(self) -> None:
        """Ends it; a later `send` begins anew."""


def open_sink(text: str, host: str) -> Sink:
    """The sink that the configuration names (`logSinks`); connects to nobody yet."""
    kind, _, where = text.partition(":")
    match kind:
        case "stdout":
            return LineSink(sys.stdout.buffer)
        case "journald":
            return DatagramSink(JOURNAL, journal_entry)
        case "syslog":
            process = os.getpid()
            return DatagramSink(_place(where), lambda record: syslog_message(record, host, process))
        case _:
            return OtlpSink(where, host)


def _place(where: str) -> Path | tuple[str, int]:
    if not where.startswith("udp:"):
        return Path(where) if where else DEV_LOG
    found = urlsplit(where)
    return found.hostname or "", found.port or 514


@final
class LineSink:
    """JSON lines into an open file."""

    most = 500

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def send(self, records: Sequence[Record]) -> None:
        """As `Sink`; may wait for as long as nobody reads."""
        self._file.write(b"".join(json.dumps(record).encode("ascii") + b"\n" for record in records))
        self._file.flush()

    def close(self) -> None:
        """The file is not ours."""


class _Encoder(Protocol):
    def __call__(self, record: Record, /) -> bytes: ...


@final
class DatagramSink:
    """A datagram for each record, to a Unix socket or by UDP."""

    most = 1

    def __init__(self, place: Path | tuple[str, int], encode: _Encoder) -> None:
        self._place = place
        self._encode = encode
        self._socket: socket.socket | None = None

    def send(self, records: Sequence[Record]) -> None:
        """As `Sink`. UDP does not tell whether anybody listens."""
        try:
            for record in records:
                self._connected().send(self._encode(record))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Forgets the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = _unix(self._place) if isinstance(self._place, Path) else _udp(*self._place)
        return self._socket


def _unix(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    return _connect(opened, str(path))


def _udp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    return _connect(socket.socket(family, kind, protocol), address)


def _connect(opened: socket.socket, address: str | tuple[Any, ...]) -> socket.socket:
    opened.settimeout(_TIMEOUT_SECONDS)
    try:
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


@final
class OtlpSink:
    """OTLP over HTTP, JSON: one request for many records. Redirects are refused."""

    most = 500

    def __init__(self, url: str, host: str) -> None:
        self._url = urlsplit(url)
        self._host = host
        self._connection: http.client.HTTPConnection | None = None

    def send(self, records: Sequence[Record]) -> None:
        """As `Sink`."""
        path = self._url.path or "/v1/logs"
        try:
            connection = self._connected()
            connection.request(
                "POST", path, otlp_body(records, self._host), headers={"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER_BYTES)
        except http.client.HTTPException as error:
            self.close()
            raise OSError(f"cannot export: {type(error).__name__}") from error
        except OSError:
            self.close()
            raise
        if not response.isclosed():
            self.close()  # an answer of that length is nothing to go on with
        _judge(response.status, answer, len(records))

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._url.hostname or "", self._url.port
            if self._url.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        return self._connection


def _judge(status: int, answer: bytes, count: int) -> None:
    """OTLP/HTTP: 200 may still refuse some (`partialSuccess`)."""
    if status in _MAY_BE_RETRIED:
        raise OSError(f"cannot export: the collector answers {status}")
    if status != http.client.OK:
        raise SinkRefusedError(count, f"the collector answers {status}")
    try:
        partial = json.loads(answer or b"{}").get("partialSuccess") or {}
        rejected = int(partial.get("rejectedLogRecords", 0))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return  # it said 200; what else it says is its own business
    if rejected:
        raise SinkRefusedError(min(rejected, count), "the collector refuses some records")
