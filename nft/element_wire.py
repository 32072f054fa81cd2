"""Messages about set elements as bytes: packing, parsing, and which element a refusal points at.

Pure. Fast rather than general: heads are made once, and an element is a few bytes strings joined.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from netlink import message
from nft import wire

MAX_LIST_BYTES: Final = 65_000
"""Elements in one message: they are one netlink attribute, whose length has 16 bits."""

NEW: Final = message.NFNL_SUBSYS_NFTABLES << 8 | wire.NEWSETELEM
DELETE: Final = message.NFNL_SUBSYS_NFTABLES << 8 | wire.DELSETELEM
NEW_FLAGS: Final = message.NLM_F_REQUEST | message.NLM_F_CREATE
DELETE_FLAGS: Final = message.NLM_F_REQUEST

_HEADER: Final = struct.Struct("=IHHII")
_HALVES: Final = struct.Struct("=HH")
_TIMES: Final = 12
"""Bytes of a 64-bit attribute."""
_LIST: Final = wire.NFTA_ELEM_LIST_ELEMENTS | message.NLA_F_NESTED
_TIMEOUT: Final = _HALVES.pack(_TIMES, wire.NFTA_SET_ELEM_TIMEOUT)
_EXPIRATION: Final = _HALVES.pack(_TIMES, wire.NFTA_SET_ELEM_EXPIRATION)
_BATCH: Final = message.nfgen(0, message.NFNL_SUBSYS_NFTABLES)
_BATCH_BYTES: Final = _HEADER.size + len(_BATCH)


class ElementMessage(NamedTuple):
    """A message of a transaction; the last two fields lay the blame when the kernel refuses it."""

    kind: int
    flags: int
    head: bytes
    """Family, table and set."""
    elements: Sequence[bytes]
    positions: Sequence[int]
    """Of each element among the changes."""


def element(key: bytes, timeout_ms: int, remaining_ms: int) -> bytes:
    """An element as part of a list; times of 0 are left out."""
    head = _ELEMENT_HEADS[len(key)]
    if not timeout_ms:
        return head[0] + key + head[3]
    if not remaining_ms:
        return head[1] + key + head[3] + _TIMEOUT + timeout_ms.to_bytes(8, "big")
    times = timeout_ms.to_bytes(8, "big") + _EXPIRATION + remaining_ms.to_bytes(8, "big")
    return head[2] + key + head[3] + _TIMEOUT + times


def _element_heads(length: int) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before a key of `length` bytes, by the number of times after it, and its padding."""
    padding = bytes(-length % 4)
    value = _HALVES.pack(4 + length, wire.NFTA_DATA_VALUE)
    key = _HALVES.pack(8 + length + len(padding), wire.NFTA_SET_ELEM_KEY | message.NLA_F_NESTED) + value
    size = 12 + length + len(padding)
    no, one, two = (
        _HALVES.pack(size + _TIMES * times, wire.NFTA_LIST_ELEM | message.NLA_F_NESTED) + key for times in (0, 1, 2)
    )
    return no, one, two, padding


_ELEMENT_HEADS: Final = tuple(_element_heads(length) for length in range(wire.MAX_KEY_BYTES + 1))


def chunks(elements: Sequence[bytes]) -> Sequence[tuple[int, int]]:
    """Cuts a run into messages whose list of elements fits a netlink attribute."""
    longest = len(max(elements, key=len))
    step = MAX_LIST_BYTES // longest
    return [(start, start + step) for start in range(0, len(elements), step)]


def transaction(messages: Sequence[ElementMessage], first: int) -> bytes:
    """The datagram; only the last change asks for an acknowledgement, which the kernel sends after the commit."""
    parts = [_HEADER.pack(_BATCH_BYTES, message.NFNL_MSG_BATCH_BEGIN, message.NLM_F_REQUEST, first, 0), _BATCH]
    last = first + len(messages)
    sequence = first
    for kind, flags, head, elements, _ in messages:
        sequence += 1
        body = b"".join(elements)
        ack = message.NLM_F_ACK if sequence == last else 0
        parts += (
            _HEADER.pack(_HEADER.size + len(head) + _HALVES.size + len(body), kind, flags | ack, sequence, 0),
            head,
            _HALVES.pack(_HALVES.size + len(body), _LIST),
            body,
        )
    parts += (_HEADER.pack(_BATCH_BYTES, message.NFNL_MSG_BATCH_END, message.NLM_F_REQUEST, last + 1, 0), _BATCH)
    return b"".join(parts)


def blame(sent: ElementMessage, answer: message.Message) -> Mapping[int, int]:
    """The positions that a refusal is about: the element the kernel points at, or all of its message."""
    offset = wire.refused_offset(answer)
    at = _HEADER.size + len(sent.head) + _HALVES.size
    for element, position in zip(sent.elements, sent.positions, strict=True):
        if at == offset:
            return {position: answer.errno}
        at += len(element)
    return dict.fromkeys(sent.positions, answer.errno)


def elements(body: memoryview) -> Iterable[tuple[bytes, int, int]]:
    """The elements in a dumped message: key, timeout and time left in milliseconds, 0 for none."""
    for kind, payload in message.attributes(body):
        if kind == wire.NFTA_ELEM_LIST_ELEMENTS:
            for _, attributes in message.attributes(payload):
                yield _element(attributes)


def _element(attributes: memoryview) -> tuple[bytes, int, int]:
    key, timeout_ms, remaining_ms = b"", 0, 0
    for kind, payload in message.attributes(attributes):
        if kind == wire.NFTA_SET_ELEM_KEY:
            key = b"".join(bytes(value) for _, value in message.attributes(payload))
        elif kind == wire.NFTA_SET_ELEM_TIMEOUT:
            timeout_ms = wire.number(payload)
        elif kind == wire.NFTA_SET_ELEM_EXPIRATION:
            remaining_ms = wire.number(payload)
    return key, timeout_ms, remaining_ms
