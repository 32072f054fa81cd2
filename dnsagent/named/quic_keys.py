"""What protects the first packets of QUIC, and takes that protection away (RFC 9001 5.2 to 5.4; RFC 9369 3.3).

The secrets come from the connection ID that the client chose, so whoever sees a first packet can read it: this is no
secrecy, and none is broken here. Beside `wg.keys` the one door to the library `cryptography`.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from dnsagent.named.spoken import UnspokenError

VERSION_1: Final = 0x00000001
VERSION_2: Final = 0x6B3343CF
SAMPLE_BYTES: Final = 16
_SALTS: Final = {
    VERSION_1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    VERSION_2: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
}
_PREFIXES: Final = {VERSION_1: b"quic ", VERSION_2: b"quicv2 "}


@dataclass(frozen=True)
class InitialKeys:
    """Keys of what a client sends first. No slots: the ciphers are made at first use and kept."""

    key: bytes
    """16 bytes, of AEAD_AES_128_GCM."""
    iv: bytes
    """12 bytes, to be mixed with a packet's number."""
    header_key: bytes
    """16 bytes, of AES-128."""

    @cached_property
    def _packets(self) -> AESGCM:
        return AESGCM(self.key)

    @cached_property
    def _headers(self) -> Cipher[ECB]:
        # One block of random-looking bytes under a key of its own is what RFC 9001 5.4.3 asks for.
        return Cipher(AES(self.header_key), ECB())  # noqa: S305

    def mask(self, sample: bytes) -> bytes:
        """Five bytes over the first byte and the packet number, of the 16 bytes of `sample` (RFC 9001 5.4.3)."""
        return self._headers.encryptor().update(sample)[:5]

    def open(self, number: int, header: bytes, sealed: bytes) -> bytes:
        """The frames of packet `number` (below 2**32) whose unprotected header is `header`.

        Raises:
            UnspokenError: they were not sealed with these keys.
        """
        try:
            return self._packets.decrypt(self._nonce(number), sealed, header)
        except InvalidTag:
            raise UnspokenError("quic-unreadable") from None

    def seal(self, number: int, header: bytes, frames: bytes) -> bytes:
        """The opposite of `open`."""
        return self._packets.encrypt(self._nonce(number), frames, header)

    def _nonce(self, number: int) -> bytes:
        return (int.from_bytes(self.iv, "big") ^ number).to_bytes(len(self.iv), "big")


def initial_keys(version: int, destination: bytes) -> InitialKeys:
    """The keys of a client that sends its first packet to connection ID `destination`.

    Raises:
        UnspokenError: a version that is not known, also none (version negotiation: only servers send that).
    """
    if version not in _SALTS:
        raise UnspokenError("quic-version")
    secret = _expand(hmac.digest(_SALTS[version], destination, "sha256"), b"client in", hashlib.sha256().digest_size)
    prefix = _PREFIXES[version]
    return InitialKeys(
        _expand(secret, prefix + b"key", 16), _expand(secret, prefix + b"iv", 12), _expand(secret, prefix + b"hp", 16)
    )


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label without context, of one block at most (RFC 8446 7.1, RFC 5869 2.3)."""
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return hmac.digest(secret, info + b"\1", "sha256")[:size]
