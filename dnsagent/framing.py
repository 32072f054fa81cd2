"""Messages in a stream: each behind its length, two bytes in network order (RFC 1035 4.2.2, RFC 7766 8).

Strict, because what the stream says and what we say it says must be one thing: a length below a header's,
zero included, ends the stream. Pure; memory is one message and what came behind it with the last piece.
"""

from typing import Final, final

from dnsagent.codec import HEADER_BYTES

MAX_MESSAGE_BYTES: Final = 65_535
_PREFIX_BYTES: Final = 2


class FramingError(ValueError):
    """The stream is no sequence of DNS messages; says why."""


def frame(message: bytes) -> bytes:
    """The message with its length in front.

    Raises:
        FramingError: it is longer than a stream can say.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise FramingError(f"cannot send a message of {len(message)} bytes")
    return len(message).to_bytes(2, "big") + message


@final
class Deframer:
    """Takes a stream in pieces of any size and gives back whole messages, in order. Holds what is not whole yet."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Takes the next piece."""
        self._buffer += data

    def take(self, limit: int) -> list[bytes]:
        """At most so many whole messages.

        Raises:
            FramingError: a message is shorter than its header; the stream is over.
        """
        buffer, at = self._buffer, 0
        found: list[bytes] = []
        while len(found) < limit and len(buffer) - at >= _PREFIX_BYTES:
            length = buffer[at] << 8 | buffer[at + 1]
            if length < HEADER_BYTES:
                raise FramingError(f"cannot read a message of {length} bytes")
            end = at + _PREFIX_BYTES + length
            if end > len(buffer):
                break
            found.append(bytes(buffer[at + _PREFIX_BYTES : end]))
            at = end
        del buffer[:at]
        return found
