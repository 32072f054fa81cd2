"""The errors of the WireGuard workshop; each exists because somebody recovers from it."""

import errno


class WireGuardError(Exception):
    """A device, or what leads to it, could not be read or changed; a later try may work.

    A change of several peers that was refused may have been done in part: read the device before the next one.
    """

    def __init__(self, operation: str, subject: str, code: int) -> None:
        super().__init__(f"cannot {operation} {subject}: {errno.errorcode.get(code, code)}")
        self.operation = operation
        """What was tried, in words that follow "cannot"."""
        self.subject = subject
        """The device."""
        self.errno = code
        """ENODEV: there is no such device. EPERM: CAP_NET_ADMIN is missing. EBADMSG: the answer makes no sense."""


class KeyDecodeError(ValueError):
    """A text or file that is no key. The message never holds what was read: it may be most of a secret."""
