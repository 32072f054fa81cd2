"""The errors of the queue workshop; each exists because somebody recovers from it."""

import errno


class QueueError(Exception):
    """Root of the room's errors."""


class PacketError(QueueError):
    """Bytes that are no well-formed packet: the reader goes on with the next packet."""


class QueueRefusedError(QueueError):
    """The kernel refused to set up a queue or a log group; the socket is closed already, a later try may work."""

    def __init__(self, operation: str, code: int) -> None:
        super().__init__(f"cannot {operation}: {errno.errorcode.get(code, code)}")
        self.operation = operation
        """What was tried, in words that follow "cannot"."""
        self.errno = code
        """EPERM: the number belongs to another reader, or CAP_NET_ADMIN is missing. EOPNOTSUPP: an unknown flag."""


class QueueLostError(QueueError):
    """The socket of a queue or log group is dead: the kernel dropped what it held, and it must be opened anew."""


class ConntrackError(QueueError):
    """The kernel refused to list or delete connections; nothing is known of those that were left."""

    def __init__(self, operation: str, code: int) -> None:
        super().__init__(f"cannot {operation}: {errno.errorcode.get(code, code)}")
        self.operation = operation
        """What was tried, in words that follow "cannot"."""
        self.errno = code


class AlreadyDecidedError(RuntimeError):
    """A second verdict on one packet: a bug of the caller, never caught below the supervisor."""
