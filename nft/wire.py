"""nf_tables over netlink: its numbers, and the head that every message of ours begins with.

Pure packing and parsing (linux/netfilter/nf_tables.h). Framing is `netlink.message`; sockets belong to those who send.
"""

import struct

from netlink import message

NFPROTO_INET = 1
NFNLGRP_NFTABLES = 7

NEWTABLE = 0
GETTABLE = 1
DELTABLE = 2
NEWCHAIN = 3
NEWRULE = 6
GETRULE = 7
DELRULE = 8
NEWSET = 9
NEWSETELEM = 12
GETSETELEM = 13
DELSETELEM = 14
NEWGEN = 15
GETGEN = 16
DESTROYSETELEM = 30

NFTA_LIST_ELEM = 1
NFTA_EXPR_NAME = 1
NFTA_EXPR_DATA = 2
NFTA_DATA_VALUE = 1
NFTA_DATA_VERDICT = 2
NFTA_VERDICT_CODE = 1
NFTA_VERDICT_CHAIN = 2

NFTA_TABLE_NAME = 1

NFTA_RULE_TABLE = 1
NFTA_RULE_CHAIN = 2
NFTA_RULE_HANDLE = 3
NFTA_RULE_EXPRESSIONS = 4
NFTA_RULE_USERDATA = 7

NFTA_SET_ELEM_KEY = 1
NFTA_SET_ELEM_DATA = 2
NFTA_SET_ELEM_FLAGS = 3
NFTA_SET_ELEM_TIMEOUT = 4
NFTA_SET_ELEM_EXPIRATION = 5
NFTA_SET_ELEM_KEY_END = 10

NFTA_ELEM_LIST_TABLE = 1
NFTA_ELEM_LIST_SET = 2
NFTA_ELEM_LIST_ELEMENTS = 3

NFTA_GEN_ID = 1
NFTA_GEN_PROC_PID = 2
NFTA_GEN_PROC_NAME = 3

UDATA_RULE_COMMENT = 0
"""Type of the entry in a rule's user data that nft shows as its comment (libnftnl: udata.h)."""

MAX_KEY_BYTES = 64
"""Longest set key (kernel: NFT_REG32_COUNT registers of four bytes)."""

NLM_F_DUMP_INTR = 0x10
"""Something was committed while the kernel walked what it dumps: entries may be missing or double."""

_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_ERROR_BYTES = 20
"""struct nlmsgerr: the errno, and the header of the refused message."""
_NLMSGERR_ATTR_OFFS = 2
_NATIVE = struct.Struct("=I")


def request(kind: int, flags: int, sequence: int, payload: bytes = b"") -> bytes:
    """A nf_tables message of family `inet`."""
    return message.nf_message(
        message.NFNL_SUBSYS_NFTABLES, kind, message.NLM_F_REQUEST | flags, sequence, NFPROTO_INET, payload
    )


def string(payload: memoryview) -> str:
    """The text of a NUL-terminated attribute."""
    return bytes(payload).rstrip(b"\0").decode("utf-8", "replace")


def number(payload: memoryview) -> int:
    """The value of an attribute in network order, of any width."""
    return int.from_bytes(payload, "big")


def comment(text: str) -> bytes:
    """A rule's user data attribute with a comment, as libnftables writes it."""
    value = text.encode("ascii") + b"\0"
    return message.attribute(NFTA_RULE_USERDATA, bytes((UDATA_RULE_COMMENT, len(value))) + value)


def comment_in(userdata: memoryview) -> str:
    """The comment in a rule's user data, empty if there is none (entries of type u8, length u8, value)."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, length = userdata[offset : offset + 2]
        if kind == UDATA_RULE_COMMENT:
            return string(userdata[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""


def refused_offset(answer: message.Message) -> int | None:
    """Where in the refused message the kernel saw the fault (extended acknowledgement), in bytes from its header.

    Needs NETLINK_EXT_ACK and NETLINK_CAP_ACK on the socket. None if the kernel did not say.
    """
    if not (answer.flags & _NLM_F_ACK_TLVS and answer.flags & _NLM_F_CAPPED):
        return None
    for kind, payload in message.attributes(answer.payload[_ERROR_BYTES:]):
        if kind == _NLMSGERR_ATTR_OFFS:
            return int(_NATIVE.unpack(payload)[0])
    return None
