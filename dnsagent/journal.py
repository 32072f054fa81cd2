"""The journal: every answer that opened something, as it came, so that a restart knows what the kernel's elements mean.

A record is the answer's own bytes with who, whom and when in front, behind its length and CRC; reading the journal is
judging those answers again, at their own time. Writing costs a copy. A journal cut off by a crash loses its last
record and no more; what does not check is skipped. Nothing is ever synced to the disk: the kernel has the elements,
and losing the last moment of names costs an explanation, not a verdict.

When an address is given to another endpoint a record without an answer says so: what was told to the former one must
not be credited to the next.

Two files: when the present one is full it becomes the former one, and the former former one goes. So at least
`FILE_BYTES` of answers are remembered, and at most twice that.
"""

import binascii
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dnsagent.learn import Packet
from reconcile.instant import WallInstant

FILE_BYTES = 16 << 20
"""About 90,000 answers."""
MAX_BUFFERED_BYTES = 1 << 20
"""Between two flushes; beyond it they come sooner."""
_MAGIC = b"tgj1"
_FRAME = struct.Struct("!4sHI")
_HEAD = struct.Struct("!dHHBB")


class Entry(NamedTuple):
    """An answer as it was delivered, or the end of all that an address was told."""

    at: WallInstant
    client: bytes
    """Packed address of the endpoint."""
    packet: Packet | None
    """None: from here on the address is somebody else's."""


class Journal:
    """Gathers records and appends them to the file when told to. Owns its file."""

    def __init__(self, path: Path) -> None:
        """Opens the file for appending; what a crash left of a last record is cut off.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size = _whole_bytes(path.read_bytes())
        self._file.truncate(self._size)
        self._buffer: list[bytes] = []
        self._buffered = 0
        self.failures = 0
        """Flushes that failed: the disk is full, as a rule. Their records are forgotten."""
        self.too_long = 0
        """Answers that fit no record: within a few bytes of 64 KiB."""

    def append(self, packet: Packet, at: WallInstant) -> None:
        """Keeps an answer for the next flush."""
        self._append(
            _HEAD.pack(at, packet.client_port, packet.server_port, len(packet.client), len(packet.server))
            + packet.client
            + packet.server
            + packet.payload
        )

    def forget(self, clients: Iterable[bytes], at: WallInstant) -> None:
        """Notes that the addresses are other endpoints' from here on. In the file when this returns."""
        for client in clients:
            self._append(_HEAD.pack(at, 0, 0, len(client), 0) + client)
        self.flush()

    def _append(self, body: bytes) -> None:
        if len(body) > 0xFFFF:
            self.too_long += 1
            return
        self._buffer.append(_FRAME.pack(_MAGIC, len(body), binascii.crc32(body)) + body)
        self._buffered += len(body)
        if self._buffered > MAX_BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Appends what was kept. Never raises: a full disk must not stop learning."""
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        try:
            if self._size + len(data) > FILE_BYTES:
                self._rotate()
            written = self._file.write(data)
            self._size += written
            # A full disk takes a part: half a record would hide the one that comes next.
            if written < len(data):
                self.failures += 1
                self._size = _whole_bytes(self._path.read_bytes())
                self._file.truncate(self._size)
        except OSError:
            self.failures += 1

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        if self._path.exists():
            self._path.rename(former(self._path))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0


def former(path: Path) -> Path:
    """Where the journal before this one stands."""
    return path.with_name(f"{path.name}.1")


def read_journal(path: Path, now: WallInstant) -> Iterator[Entry]:
    """The answers of both files in order, but for those from the future: a clock was set back since."""
    for file in (former(path), path):
        try:
            data = file.read_bytes()[: 2 * FILE_BYTES]
        except OSError:
            continue
        for entry in _entries(data):
            if entry.at <= now + 1:
                yield entry


def _entries(data: bytes) -> Iterator[Entry]:
    for start, end in _records(data):
        entry = _entry(data[start:end])
        if entry is not None:
            yield entry


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the bodies of sound records begin and end."""
    at = 0
    while 0 <= at <= len(data) - _FRAME.size:
        magic, length, check = _FRAME.unpack_from(data, at)
        start = at + _FRAME.size
        end = start + length
        if magic != _MAGIC or end > len(data) or binascii.crc32(data[start:end]) != check:
            # Somewhere behind the damage the next record begins.
            at = data.find(_MAGIC, at + 1)
            continue
        yield start, end
        at = end


def _whole_bytes(data: bytes) -> int:
    """Where the last sound record ends."""
    return max((end for _, end in _records(data)), default=0)


def _entry(body: bytes) -> Entry | None:
    if len(body) < _HEAD.size:
        return None
    at, client_port, server_port, client_bytes, server_bytes = _HEAD.unpack_from(body)
    client_end = _HEAD.size + client_bytes
    server_end = client_end + server_bytes
    client, server, payload = body[_HEAD.size : client_end], body[client_end:server_end], body[server_end:]
    packet = Packet(client, client_port, server, server_port, payload) if server else None
    return Entry(WallInstant(at), client, packet)
