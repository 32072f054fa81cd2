"""Curve25519 keys as WireGuard writes them: 32 bytes, in base64 (wg(8)).

A private key never shows itself: not in `repr`, not in `str`, not in an error, and it cannot be pickled. It is made on
the node it belongs to. Wiping it is an effort, no promise: Python and the library may have copied the bytes before.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Never, Self, final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wg.errors import KeyDecodeError

KEY_BYTES = 32


@dataclass(frozen=True, slots=True, order=True)
class PublicKey:
    """Names a peer; no secret."""

    raw: bytes
    """32 bytes; all zero is no key (the kernel's way to say "none")."""

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES or not any(self.raw):
            raise KeyDecodeError("cannot read a public key: it is not 32 bytes, or all of them are zero")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads base64, as `wg pubkey` prints it.

        Raises:
            KeyDecodeError: it is not the base64 of 32 bytes, or says no key.
        """
        return cls(_decode(text, "a public key"))

    def __str__(self) -> str:
        return base64.b64encode(self.raw).decode("ascii")

    def __repr__(self) -> str:
        return f"PublicKey({self})"


@final
class PrivateKey:
    """Holds state: the bytes of a private key, until it is wiped. Equal by its bytes, compared in constant time."""

    __slots__ = ("_public", "_raw")

    def __init__(self, raw: bytes | bytearray) -> None:
        if len(raw) != KEY_BYTES or not any(raw):
            raise KeyDecodeError("cannot read a private key: it is not 32 bytes, or all of them are zero")
        self._raw = bytearray(raw)
        library = X25519PrivateKey.from_private_bytes(bytes(raw))
        self._public = PublicKey(bytes(library.public_key().public_bytes_raw()))

    @classmethod
    def generate(cls) -> Self:
        """A new key from the operating system's randomness, clamped as Curve25519 wants it (RFC 7748 5)."""
        raw = bytearray(X25519PrivateKey.generate().private_bytes_raw())
        # Clamped here as well: the kernel clamps what it is given, and then what it gives back would be another text.
        raw[0] &= 248
        raw[31] = (raw[31] & 127) | 64
        made = cls(raw)
        _zero(raw)
        return made

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads base64, as `wg genkey` prints it.

        Raises:
            KeyDecodeError: it is not the base64 of 32 bytes, or says no key.
        """
        return cls(_decode(text, "a private key"))

    @property
    def public(self) -> PublicKey:
        """What others know this node by; still there after `wipe`."""
        return self._public

    def reveal(self) -> bytes:
        """The secret itself, for the device and the key file alone.

        Raises:
            ValueError: it was wiped.
        """
        if not any(self._raw):
            raise ValueError("cannot use a private key that was wiped")
        return bytes(self._raw)

    def reveal_text(self) -> str:
        """The secret in base64, for the key file alone. Raises as `reveal`."""
        return base64.b64encode(self.reveal()).decode("ascii")

    def wipe(self) -> None:
        """Overwrites the bytes. Safe to call twice."""
        _zero(self._raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and hmac.compare_digest(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]  # a secret in a dictionary would outlive its owner

    def __repr__(self) -> str:
        return f"PrivateKey(of {self._public})"

    def __reduce__(self) -> Never:
        raise TypeError("cannot pickle a private key: it stays where it was made")


def _zero(raw: bytearray) -> None:
    for index in range(len(raw)):
        raw[index] = 0


def _decode(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise KeyDecodeError(f"cannot read {what}: it is not base64") from None
    if len(raw) != KEY_BYTES:
        raise KeyDecodeError(f"cannot read {what}: it has {len(raw)} bytes, not {KEY_BYTES}")
    return raw
