"""Questions by hand: as fast as Python asks."""

import socket

ASK_SECONDS = 2.0


def query(label: bytes, zone: bytes, number: int) -> bytes:
    """A question for an A record; `zone` is a wire name."""
    head = (number & 0xFFFF).to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0"
    return head + bytes([len(label)]) + label + zone + b"\0\1\0\1"


def wire_name(zone: str) -> bytes:
    """The name as in a message, with its root."""
    return b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0"


def open_asker(server: str, before: socket.socket | None) -> socket.socket:
    """A socket that asks from a new port; the one before it is closed."""
    if before is not None:
        before.close()
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(ASK_SECONDS)
    asker.connect((server, 53))
    return asker
