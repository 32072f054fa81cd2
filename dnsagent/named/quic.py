"""The first datagrams of a QUIC client, versions 1 and 2: who it wants to speak to (RFC 9000, 9001, 9369).

    greeting = QuicGreeting()
    greeting.take(payload of a datagram)  ->  Spoken            the client names somebody, or nobody
                                          ->  None              more datagrams are needed
                                          ->  UnspokenError     it is not QUIC, or servers could read it differently

The ClientHello may be spread over many CRYPTO frames, packets and datagrams in any order. This reads datagrams that no
server has seen yet, so nothing in them can answer one: neither Retry nor a change of connection ID has happened. What
does not fit that (a second connection ID, a packet of the later handshake, a version without known keys) is refused.
0-RTT beside or after the first packet is passed over: it is only worth something to the server that the greeting names.
"""

from typing import Final, final

from dnsagent.named.hello import read_message
from dnsagent.named.quic_frames import CryptoStream, Octets, crypto_frames
from dnsagent.named.quic_keys import SAMPLE_BYTES, VERSION_2, InitialKeys, initial_keys
from dnsagent.named.spoken import Spoken, UnspokenError

LEAST_DATAGRAM_BYTES: Final = 1200
"""Servers discard a first packet in a shorter one (RFC 9000 14.1)."""
MAX_DATAGRAMS: Final = 32
_MAX_PACKETS: Final = 64
_LONG: Final = 0x80
_FIXED: Final = 0x40
_RESERVED: Final = 0x0C
_LEAST_FIRST_ID_BYTES: Final = 8
_MAX_ID_BYTES: Final = 20
_INITIAL: Final = 0
_ZERO_RTT: Final = 1


@final
class QuicGreeting:
    """Holds state: what one client (addresses and ports) said so far; bounded by `MAX_DATAGRAMS`."""

    __slots__ = ("_datagrams", "_ids", "_keys", "_packets", "_stream")

    def __init__(self) -> None:
        self._datagrams = 0
        self._ids: tuple[int, bytes, bytes] | None = None
        self._keys: InitialKeys | None = None
        self._packets: dict[int, bytes] = {}
        self._stream = CryptoStream()

    def take(self, datagram: bytes) -> Spoken | None:
        """Reads one more datagram, at most 64 KiB; None while the greeting is not whole.

        Raises:
            UnspokenError: it must be refused; the greeting must not be asked again.
        """
        self._datagrams += 1
        if self._datagrams > MAX_DATAGRAMS:
            raise UnspokenError("quic-too-long")
        octets = Octets(datagram)
        # A server passes over what is no packet; zeros behind the last one are how some clients fill a datagram.
        while octets.at < len(datagram) and (octets.at == 0 or datagram[octets.at :].strip(b"\0")):
            self._packet(octets)
        beginning = self._stream.beginning()
        return read_message(memoryview(beginning)) if beginning else None

    def emptied(self) -> "QuicGreeting":
        """As it began."""
        return QuicGreeting()

    def _packet(self, octets: Octets) -> None:
        start = octets.at
        first = octets.bytes(1)[0]
        if first & (_LONG | _FIXED) != _LONG | _FIXED:
            raise UnspokenError("quic-no-initial")
        version = int.from_bytes(octets.bytes(4), "big")
        destination, source = _connection_id(octets), _connection_id(octets)
        if self._keys is None:
            self._keys = initial_keys(version, destination)
        kind = _kind(version, first)
        self._belongs((version, destination, source), kind)
        if kind == _INITIAL:
            octets.bytes(octets.number())  # token
        size = octets.number()
        at = octets.at
        octets.bytes(size)
        if kind == _INITIAL:
            self._initial(octets.data, start, at, octets.at)

    def _belongs(self, ids: tuple[int, bytes, bytes], kind: int) -> None:
        """That a packet is one of the first flight of one connection."""
        if kind not in (_INITIAL, _ZERO_RTT) or (self._ids is None and kind != _INITIAL):
            raise UnspokenError("quic-no-initial")
        if self._ids is None and len(ids[1]) < _LEAST_FIRST_ID_BYTES:
            raise UnspokenError("quic-malformed")
        if self._ids not in (None, ids):
            raise UnspokenError("quic-other-connection")
        self._ids = ids

    def _initial(self, data: bytes, start: int, at: int, end: int) -> None:
        """Opens the packet from `start` to `end` whose protected number stands at `at`."""
        if len(data) < LEAST_DATAGRAM_BYTES:
            raise UnspokenError("quic-short")
        if self._keys is None or end - at < 4 + SAMPLE_BYTES:
            raise UnspokenError("quic-malformed")
        mask = self._keys.mask(data[at + 4 : at + 4 + SAMPLE_BYTES])
        first = data[start] ^ (mask[0] & 0x0F)
        size = (first & 3) + 1
        # Whole, not shortened: no packet was acknowledged yet (RFC 9000 17.1).
        number = int.from_bytes(data[at : at + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
        header = bytes([first]) + data[start + 1 : at] + number.to_bytes(size, "big")
        frames = self._keys.open(number, header, data[at + size : end])
        if first & _RESERVED:
            raise UnspokenError("quic-malformed")
        self._frames(number, frames)

    def _frames(self, number: int, frames: bytes) -> None:
        """A packet that comes twice says the same twice; a server would not look at the second."""
        if self._packets.setdefault(number, frames) != frames:
            raise UnspokenError("quic-overlap")
        if len(self._packets) > _MAX_PACKETS:
            raise UnspokenError("quic-too-long")
        for offset, part in crypto_frames(frames):
            self._stream.put(offset, part)


def _connection_id(octets: Octets) -> bytes:
    size = octets.bytes(1)[0]
    if size > _MAX_ID_BYTES:
        raise UnspokenError("quic-malformed")
    return octets.bytes(size)


def _kind(version: int, first: int) -> int:
    """Of a long header as version 1 counts: version 2 counts from one (RFC 9369 3.2)."""
    kind = first >> 4 & 3
    return (kind - 1) % 4 if version == VERSION_2 else kind
