"""The packet of a record, taken apart for people by scapy. For the command line; never where packets wait."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

_VERSION_BITS = 4
_IPV6 = 6


class InspectError(Exception):
    """Packets cannot be taken apart here; says what is missing."""


def inspected(record: Mapping[str, Any]) -> str:
    """All layers and fields of the packet, a line each. The record's rule may have cut it short.

    Raises:
        InspectError: scapy is not installed.
    """
    packet = b64decode(record.get("packet") or "")
    if not packet:
        return "no packet"
    ip4, ip6 = _layers()
    layer = ip6 if packet[0] >> _VERSION_BITS == _IPV6 else ip4
    try:
        return str(layer(packet).show(dump=True)).rstrip()
    except Exception as error:  # noqa: BLE001 - the bytes are a stranger's, and scapy raises what comes up
        return f"cannot be taken apart ({type(error).__name__}): {packet.hex()}"


def _layers() -> tuple[Any, Any]:
    """Loaded when somebody asks: it takes a second."""
    try:
        from scapy.layers.inet import IP  # noqa: PLC0415 - see above
        from scapy.layers.inet6 import IPv6  # noqa: PLC0415
    except ImportError as error:
        raise InspectError("install the extra `inspect` (scapy) to have packets taken apart") from error
    return IP, IPv6
