"""First connections: asks for a name and connects to its last address at once; one that comes late is a miss."""

import socket
import time

from bench.field import Field
from bench.rivals import ZONE

PAIRS, PORT, LATE_SECONDS = 300, 443, 0.5


def misses(field: Field, server: str, prefix: str) -> int:
    """How many of `PAIRS` first connections did not come through at the first SYN.

    The far side refuses (nothing listens), so a refused connection is one that arrived; a lost SYN is sent again after
    a second, and counts.
    """
    missed = 0
    suffix = b"".join(bytes([len(label)]) + label.encode() for label in ZONE.split(".")) + b"\0\0\1\0\1"
    for number in range(PAIRS):
        with field.client.entered():
            asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with asker, caller:
            asker.settimeout(2)
            caller.settimeout(3)
            asker.connect((server, 53))
            label = f"{prefix}{number}".encode()
            asker.send(b"\x11\x11\1\0\0\1\0\0\0\0\0\0" + bytes([len(label)]) + label + suffix)
            address = socket.inet_ntoa(asker.recv(4096)[-4:])
            started = time.perf_counter()
            try:
                caller.connect((address, PORT))
            except ConnectionRefusedError:
                pass
            except OSError:
                missed += 1
                continue
            missed += time.perf_counter() - started > LATE_SECONDS
    return missed
