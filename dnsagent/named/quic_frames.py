"""The frames in a client's first packets, and the bytes that they carry, put in order (RFC 9000 12.4, 19).

Of all frames only those that a client may send before it has heard from the server's keys; CONNECTION_CLOSE is not
among them here, because whoever closes has nothing more to say. Pure; memory is bounded by `MAX_CRYPTO_BYTES`.
"""

from collections.abc import Iterator
from typing import Final, final

from dnsagent.named.spoken import UnspokenError

MAX_CRYPTO_BYTES: Final = 20 * 1024
"""More than the longest ClientHello that is read."""
_PADDING: Final = 0
_PING: Final = 1
_ACK: Final = 2
_ACK_ECN: Final = 3
_CRYPTO: Final = 6


class Octets:
    """Holds state: a place in bytes that are all there; reading behind their end is an error."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def bytes(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            UnspokenError: they are not there.
        """
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            raise UnspokenError("quic-malformed")
        self.at += size
        return part

    def number(self) -> int:
        """A number of variable length (RFC 9000 16).

        Raises:
            UnspokenError: it is cut off.
        """
        first = self.bytes(1)[0]
        rest = self.bytes((1 << (first >> 6)) - 1)
        return int.from_bytes(bytes([first & 0x3F]) + rest, "big")


def crypto_frames(frames: bytes) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each CRYPTO frame.

    Raises:
        UnspokenError: a frame that no client sends at first, one that is malformed, or none at all (RFC 9000 12.4).
    """
    octets = Octets(frames)
    if not frames:
        raise UnspokenError("quic-malformed")
    while octets.at < len(frames):
        kind = octets.bytes(1)[0]
        if kind == _CRYPTO:
            offset = octets.number()
            yield offset, octets.bytes(octets.number())
        elif kind in (_ACK, _ACK_ECN):
            _skip_ack(octets, has_ecn=kind == _ACK_ECN)
        elif kind not in (_PADDING, _PING):
            raise UnspokenError("quic-malformed")


def _skip_ack(octets: Octets, *, has_ecn: bool) -> None:
    """Each turn takes two bytes at least, so a count that promises too many ends with the packet."""
    octets.number()  # largest acknowledged
    octets.number()  # delay
    ranges = octets.number()
    octets.number()  # first range
    for _ in range(ranges):
        octets.number()
        octets.number()
    for _ in range(3 if has_ecn else 0):
        octets.number()


@final
class CryptoStream:
    """Holds state: what came of the handshake so far, in any order."""

    __slots__ = ("_bytes", "_has")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._has = bytearray()

    def put(self, offset: int, part: bytes) -> None:
        """Takes a part.

        Raises:
            UnspokenError: it lies behind `MAX_CRYPTO_BYTES`, or says other bytes than came before in the same place.
        """
        end = offset + len(part)
        if end > MAX_CRYPTO_BYTES:
            raise UnspokenError("quic-too-long")
        missing = end - len(self._bytes)
        if missing > 0:
            self._bytes.extend(bytes(missing))
            self._has.extend(bytes(missing))
        old, has = self._bytes[offset:end], self._has[offset:end]
        if any(has) and any(met and new != was for met, new, was in zip(has, part, old, strict=True)):
            raise UnspokenError("quic-overlap")
        self._bytes[offset:end] = part
        self._has[offset:end] = b"\1" * len(part)

    def beginning(self) -> bytes:
        """The bytes from the first on, as far as none is missing."""
        gap = self._has.find(0)
        return bytes(self._bytes if gap < 0 else self._bytes[:gap])
