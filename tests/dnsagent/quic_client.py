"""First packets of QUIC clients, by hand."""

from dnsagent.named.quic_keys import VERSION_1, VERSION_2, initial_keys

DESTINATION = bytes.fromhex("8394c8f03e515708")


def varint(number: int) -> bytes:
    for power, limit in enumerate((1 << 6, 1 << 14, 1 << 30, 1 << 62)):
        if number < limit:
            size = 1 << power
            return (number | power << (8 * size - 2)).to_bytes(size, "big")
    raise AssertionError("too large")


def crypto(offset: int, part: bytes) -> bytes:
    return b"\x06" + varint(offset) + varint(len(part)) + part


def long_header(kind: int, version: int, destination: bytes, source: bytes) -> bytes:
    """Up to the connection IDs; `kind` as version 1 counts."""
    shown = (kind + 1) % 4 if version == VERSION_2 else kind
    first = bytes([0xC0 | shown << 4]) + version.to_bytes(4, "big")
    return first + bytes([len(destination)]) + destination + bytes([len(source)]) + source


def initial(
    frames: bytes,
    number: int = 0,
    version: int = VERSION_1,
    destination: bytes = DESTINATION,
    *,
    source: bytes = b"",
    token: bytes = b"",
    number_bytes: int = 4,
    reserved: int = 0,
    keyed_by: bytes | None = None,
) -> bytes:
    """One packet, sealed and with its header protected."""
    keys = initial_keys(version if version in (VERSION_1, VERSION_2) else VERSION_1, keyed_by or destination)
    shown = number.to_bytes(number_bytes, "big")
    size = number_bytes + len(frames) + 16
    head = (
        long_header(0, version, destination, source) + varint(len(token)) + token + (size | 1 << 14).to_bytes(2, "big")
    )
    head = bytes([head[0] | reserved << 2 | number_bytes - 1]) + head[1:]
    sealed = keys.seal(number, head + shown, frames)
    mask = keys.mask((shown + sealed)[4:20])
    hidden = bytes(a ^ b for a, b in zip(shown, mask[1:], strict=False))
    return bytes([head[0] ^ mask[0] & 0x0F]) + head[1:] + hidden + sealed


def datagram(frames: bytes, number: int = 0, **how) -> bytes:
    """A packet alone, made long enough for servers by PADDING."""
    return initial(frames.ljust(1200, b"\0"), number, **how)


def zero_rtt(version: int = VERSION_1, destination: bytes = DESTINATION) -> bytes:
    return long_header(1, version, destination, b"") + varint(40) + bytes(40)
