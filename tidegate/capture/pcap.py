"""The bytes of a capture file, with nanoseconds. Pure.

Source: draft-ietf-opsawg-pcap (magic number 0xA1B23C4D); link types: tcpdump.org/linktypes.html.
"""

import struct
from typing import NamedTuple

ETHERNET, RAW_IP = 1, 101
"""LINKTYPE_ETHERNET, and LINKTYPE_RAW for interfaces without a link layer (tun, WireGuard)."""
FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16

_MAGIC = 0xA1B23C4D
_FILE_HEADER = struct.Struct("=IHHiIII")
_RECORD_HEADER = struct.Struct("=IIII")
_VLAN_AT = 12
"""Behind the two addresses of an Ethernet header."""


class CapturedPacket(NamedTuple):
    """A packet as it crossed an interface."""

    seconds: int
    """Since the epoch."""
    nanoseconds: int
    length_bytes: int
    """On the interface; more than `data` where that is cut."""
    data: bytes


def file_header(link_type: int, snaplen_bytes: int) -> bytes:
    """What a file begins with, in this machine's byte order: the magic number tells it."""
    return _FILE_HEADER.pack(_MAGIC, 2, 4, 0, 0, snaplen_bytes, link_type)


def record(packet: CapturedPacket) -> bytes:
    """A packet as it stands in a file."""
    return _RECORD_HEADER.pack(packet.seconds, packet.nanoseconds, len(packet.data), packet.length_bytes) + packet.data


def with_vlan_tag(packet: CapturedPacket, protocol: int, tag: int) -> CapturedPacket:
    """The Ethernet packet with the tag that the kernel took out of it and keeps beside it."""
    data = packet.data[:_VLAN_AT] + struct.pack("!HH", protocol, tag) + packet.data[_VLAN_AT:]
    return packet._replace(length_bytes=packet.length_bytes + 4, data=data)
