"""Who may reach what in the soak: every name and its address say whose they are. Pure.

    n7.e2.soak.test   A     11.64.0.0/10: two bits for the owner, twenty for the number
                      AAAA  2001:db8:1::<owner>:<number>

An endpoint may reach what it was told for names of its own zone, as long as that lives; so the far side can tell from a
connection's addresses alone whether it should have come.
"""

from typing import Final

ZONE: Final = "soak.test"
PORT: Final = 443
TTL_SECONDS: Final = 5
ENDPOINTS: Final = 4
"""That resolve and connect; one more is denied everything."""
NETWORK4: Final = "11.64.0.0/10"
_BASE4: Final = 0x0B400000
_PREFIX6: Final = bytes.fromhex("20010db80001000000000000")
_NUMBERS4: Final = 1 << 20
_NUMBERS6: Final = 1 << 24


def name(owner: int, number: int) -> str:
    """The name of this number in the owner's zone."""
    return f"n{number}.e{owner}.{ZONE}"


def address(owner: int, number: int, version: int) -> bytes:
    """What the name stands for, packed."""
    if version == 4:
        return (_BASE4 | owner << 20 | number % _NUMBERS4).to_bytes(4, "big")
    return _PREFIX6 + (owner << 24 | number % _NUMBERS6).to_bytes(4, "big")


def owner(packed: bytes) -> int:
    """Whose address it is."""
    return packed[1] >> 4 & 3 if len(packed) == 4 else packed[12]
