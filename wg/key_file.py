"""The node's private key on disk: made on the node, mode 0600, replaced in one step.

    KeyFile(state / "wireguard.key").load_or_make()

A file that others can read, or that is no key, is refused and not replaced: a new key would cut the node off until
every peer knows it, and an operator should decide that. One line of base64, as `wg genkey` writes it.
"""

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wg.errors import KeyDecodeError
from wg.keys import PrivateKey

_MODE = 0o600
_LONGEST_BYTES = 256
"""Of a file worth reading: a key has 45 bytes."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where the key is kept; the directory belongs to the agent."""

    path: Path

    def load(self) -> PrivateKey | None:
        """The key; None where there is no file.

        Raises:
            KeyDecodeError: the file is no key, or others may read it.
            OSError: it cannot be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyDecodeError(f"cannot use {self.path}: others may read it (mode {mode:04o}, not {_MODE:04o})")
            content = file.read(_LONGEST_BYTES)
        try:
            return PrivateKey.from_text(content.decode("ascii"))
        except (KeyDecodeError, UnicodeDecodeError):
            # Without the cause: a decoder's error quotes what it read.
            raise KeyDecodeError(f"cannot use {self.path}: it is no private key") from None

    def load_or_make(self, make: Callable[[], PrivateKey] = PrivateKey.generate) -> PrivateKey:
        """The key; a new one where there is none yet.

        Raises:
            KeyDecodeError: as `load`.
            OSError: it cannot be read or written.
        """
        known = self.load()
        if known is not None:
            return known
        made = make()
        self.store(made)
        return made

    def store(self, key: PrivateKey) -> None:
        """Puts the key into the place of what is there: after a crash the file holds the one or the other, whole.

        Raises:
            OSError: it cannot be written; the old file is still there.
        """
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        content = f"{key.reveal_text()}\n".encode("ascii")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        _sync_directory(self.path.parent)

    def remove(self) -> None:
        """Takes it away; nothing happens where there is none.

        Raises:
            OSError: it cannot be removed.
        """
        self.path.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Without it a crash of the machine may bring the old name back."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
