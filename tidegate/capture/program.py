"""Which packets the kernel copies: filters as a program for its classic packet filter. Pure.

    [protocol TCP, ports 80 and 8000:8999] or [protocol ICMP]  --->  about 40 instructions

A program decides before the copy is made, so that a capture of one port costs nothing for all the others. It reads from
the network header on, whatever link lies below. IPv6 extension headers are walked as far as `MAX_EXTENSIONS`. Later
fragments carry no ports: they are wanted if their protocol is, because without them no datagram can be put together.
Source: linux/filter.h; kernel: net/core/filter.c (bpf_convert_filter, SKF_AD_OFF, SKF_NET_OFF).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from policy.resources.capture import WITH_PORTS
from policy.rules import PortRange

SNAPLEN_BYTES = 1 << 18
"""What of a packet is kept: more than any that a virtual interface hands over whole."""
MAX_EXTENSIONS = 6
"""IPv6 extension headers before the one with the ports; a packet with more is taken for one without ports."""

_LOAD_NUMBER, _LOAD_HALF, _LOAD_BYTE, _LOAD_HALF_AT_X, _LOAD_BYTE_AT_X = 0x00, 0x28, 0x30, 0x48, 0x50
_LOAD_SLOT, _STORE, _X_NUMBER, _X_SLOT, _X_HEADER_LENGTH = 0x60, 0x02, 0x01, 0x61, 0xB1
_ADD, _ADD_X, _SHIFT_LEFT, _X_IS_A, _RETURN = 0x04, 0x0C, 0x64, 0x07, 0x06
_JUMP, _IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_BITS = 0x05, 0x15, 0x25, 0x35, 0x45

_LINK_PROTOCOL = 0xFFFFF000
"""SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType, in the machine's order."""
_NETWORK = 0xFFF00000
"""SKF_NET_OFF: offsets from here count from the network header."""
_PROTOCOL, _SOURCE, _DESTINATION, _LATER_FRAGMENT, _LENGTH = range(5)
"""Slots of the program's memory. The kernel refuses a program that may read one before it was written."""
_EXTENSIONS = (0, 43, 60)
"""Hop-by-hop options, routing, destination options: next header, then length in units of eight bytes, less one."""
_FRAGMENT = 44
_INSTRUCTION = struct.Struct("=HBBI")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Packets of a protocol (None: every packet) from or to one of these ports (empty: whatever the ports)."""

    protocol: int | None = None
    """IANA number."""
    ports: tuple[PortRange, ...] = ()


@dataclass(slots=True)
class _Program:
    """Instructions and the places that jumps lead to. Conditional jumps reach 255 far, so they only step over one."""

    code: list[tuple[int, int, int, int | str]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def do(self, operation: int, operand: int = 0) -> None:
        self.code.append((operation, 0, 0, operand))

    def go(self, place: str) -> None:
        self.code.append((_JUMP, 0, 0, place))

    def go_if(self, test: int, operand: int, place: str) -> None:
        """Jumps where the accumulator passes the test."""
        self.code.append((test, 0, 1, operand))
        self.go(place)

    def go_unless(self, test: int, operand: int, place: str) -> None:
        self.code.append((test, 1, 0, operand))
        self.go(place)

    def here(self, place: str) -> None:
        self.places[place] = len(self.code)

    def packed(self) -> bytes:
        return b"".join(
            _INSTRUCTION.pack(code, yes, no, self.places[operand] - index - 1 if isinstance(operand, str) else operand)
            for index, (code, yes, no, operand) in enumerate(self.code)
        )


def compiled(wanted: Sequence[Wanted]) -> bytes:
    """The program (an array of `struct sock_filter`); empty if every packet is wanted."""
    if not wanted or Wanted() in wanted:
        return b""
    program = _Program()
    program.do(_LOAD_HALF, _LINK_PROTOCOL)
    program.go_if(_IF_EQUAL, 0x0800, "version 4")
    program.go_if(_IF_EQUAL, 0x86DD, "version 6")
    program.go("refuse")
    _read_version_4(program)
    _read_version_6(program)
    _read_ports(program)
    for number, item in enumerate(wanted):
        _ask(program, item, f"after {number}")
    program.here("refuse")
    program.do(_RETURN, 0)
    program.here("accept")
    program.do(_RETURN, SNAPLEN_BYTES)
    return program.packed()


def _read_version_4(program: _Program) -> None:
    program.here("version 4")
    program.do(_LOAD_BYTE, _NETWORK + 9)
    program.do(_STORE, _PROTOCOL)
    program.do(_LOAD_HALF, _NETWORK + 6)
    program.go_if(_IF_BITS, 0x1FFF, "later fragment")
    program.do(_X_HEADER_LENGTH, _NETWORK)
    program.go("ports")


def _read_version_6(program: _Program) -> None:
    """Leaves the protocol in its slot and the place of its header in X."""
    program.here("version 6")
    program.do(_X_NUMBER, 40)
    program.do(_LOAD_BYTE, _NETWORK + 6)
    program.do(_STORE, _PROTOCOL)
    for number in range(MAX_EXTENSIONS):
        _skip_extension(program, f" of extension {number}")
    program.go("ports")


def _skip_extension(program: _Program, of_this: str) -> None:
    """Goes on behind an extension header; what is none is the protocol. The accumulator holds its number."""
    for kind in _EXTENSIONS:
        program.go_if(_IF_EQUAL, kind, f"length{of_this}")
    program.go_unless(_IF_EQUAL, _FRAGMENT, "ports")
    program.do(_LOAD_BYTE_AT_X, _NETWORK)
    program.do(_STORE, _PROTOCOL)
    program.do(_LOAD_HALF_AT_X, _NETWORK + 2)
    program.go_if(_IF_BITS, 0xFFF8, "later fragment")
    program.do(_LOAD_NUMBER, 0)
    program.go(f"end{of_this}")
    program.here(f"length{of_this}")
    program.do(_LOAD_BYTE_AT_X, _NETWORK + 1)
    program.here(f"end{of_this}")
    program.do(_STORE, _LENGTH)
    program.do(_LOAD_BYTE_AT_X, _NETWORK)
    program.do(_STORE, _PROTOCOL)
    program.do(_LOAD_SLOT, _LENGTH)
    program.do(_ADD, 1)
    program.do(_SHIFT_LEFT, 3)
    program.do(_ADD_X)
    program.do(_X_IS_A)
    program.do(_LOAD_SLOT, _PROTOCOL)


def _read_ports(program: _Program) -> None:
    """Fills the slots of the ports; no range has port 0, which stands for none."""
    program.here("ports")
    program.do(_LOAD_SLOT, _PROTOCOL)
    for protocol in sorted(WITH_PORTS):
        program.go_if(_IF_EQUAL, protocol, "read ports")
    program.do(_LOAD_NUMBER, 0)
    program.go("no ports")
    program.here("later fragment")
    program.do(_LOAD_NUMBER, 1)
    program.here("no ports")
    program.do(_STORE, _LATER_FRAGMENT)
    program.do(_LOAD_NUMBER, 0)
    program.do(_STORE, _SOURCE)
    program.do(_STORE, _DESTINATION)
    program.go("filters")
    program.here("read ports")
    program.do(_LOAD_NUMBER, 0)
    program.do(_STORE, _LATER_FRAGMENT)
    for offset, slot in ((0, _SOURCE), (2, _DESTINATION)):
        program.do(_LOAD_HALF_AT_X, _NETWORK + offset)
        program.do(_STORE, slot)
    program.here("filters")


def _ask(program: _Program, wanted: Wanted, otherwise: str) -> None:
    """Accepts what is wanted."""
    if wanted.protocol is not None:
        program.do(_LOAD_SLOT, _PROTOCOL)
        program.go_unless(_IF_EQUAL, wanted.protocol, otherwise)
    if not wanted.ports:
        program.go("accept")
    else:
        program.do(_LOAD_SLOT, _LATER_FRAGMENT)
        program.go_if(_IF_EQUAL, 1, "accept")
        for slot in (_SOURCE, _DESTINATION):
            program.do(_LOAD_SLOT, slot)
            for ports in wanted.ports:
                # Below the first: on to the next range, over the two instructions that ask for the last.
                program.code.append((_IF_AT_LEAST, 0, 2, ports.first))
                program.code.append((_IF_GREATER, 1, 0, ports.last))
                program.go("accept")
    program.here(otherwise)
