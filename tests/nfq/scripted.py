"""A netlink socket whose kernel is a script: what it answers, and which faults it has. Needs no root."""

import struct
from collections import deque

from netlink import message

ACKNOWLEDGED = message.message(message.NLMSG_ERROR, 0, 1, bytes(20))


def refused(errno: int, sequence: int = 1) -> bytes:
    return message.message(message.NLMSG_ERROR, 0, sequence, struct.pack("=i", -errno) + bytes(16))


def queued(packet_id: int, payload: bytes = b"packet") -> bytes:
    head = message.attribute(1, struct.pack("!IHB", packet_id, 0x0800, 4))
    return message.nf_message(3, 0, 0, 0, 2, head + message.attribute(10, payload))


def logged(sequence: int, payload: bytes = b"packet") -> bytes:
    head = message.attribute(1, struct.pack("!HBx", 0x0800, 0))
    return message.nf_message(4, 0, 0, 0, 2, head + message.be32(12, sequence) + message.attribute(9, payload))


class ScriptedSocket:
    """Plays `NetlinkSocket` and the socket in it."""

    def __init__(self, *script: bytes | BaseException) -> None:
        self.script = deque(script)
        self.sent: list[bytes] = []
        self.send_error: OSError | None = None
        self.is_closed = False
        self._sequence = 0

    @property
    def raw(self):
        return self

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def dump(self, data, sequence):
        self.send(data)
        answer = self.recv()
        yield from message.messages(answer)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """SO_MEMINFO: nothing was dropped."""
        del level, option
        return bytes(size)

    def send(self, data: bytes) -> None:
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(data)

    def recv(self, *_args) -> bytes:
        if not self.script:
            raise BlockingIOError
        answer = self.script.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def setsockopt(self, *_args) -> None: ...

    def settimeout(self, *_args) -> None: ...

    def getsockname(self) -> tuple[int, int]:
        return 4711, 0

    def fileno(self) -> int:
        return -1 if self.is_closed else 99

    def close(self) -> None:
        self.is_closed = True
