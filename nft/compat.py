"""The rule that hands a packet to a queue, in the two encodings that kernels understand.

Some kernels lack nftables' own `queue` expression (CONFIG_NFT_QUEUE) but have the NFQUEUE target of iptables and the
expression `target` by which nftables runs it (CONFIG_NFT_COMPAT). libnftables cannot write that one, so both are
written here, over netlink, into a regular chain of their own:

    queue   {num be16, total be16, flags be16}                                      kernel: nft_queue.c
    target  {name "NFQUEUE", rev 3, info {u16 num, u16 total, u16 flags} + padding}   kernel: nft_compat.c, xt_NFQUEUE.c

The listing of a table with a `target` shows a warning that iptables-nft manages it; that is harmless.
"""

import struct

from netlink import message
from netlink.transport import NetlinkSocket
from nft import batch, wire
from nft.expr import Queue

_BYPASS = 1
"""NFT_QUEUE_FLAG_BYPASS and NFQ_FLAG_BYPASS alike."""
_NFTA_QUEUE_NUM, _NFTA_QUEUE_TOTAL, _NFTA_QUEUE_FLAGS = 1, 2, 3
_NFTA_TARGET_NAME, _NFTA_TARGET_REV, _NFTA_TARGET_INFO = 1, 2, 3
_NFTA_COUNTER_BYTES, _NFTA_COUNTER_PACKETS = 1, 2
_TARGET_REVISION = 3
_TARGET_INFO = struct.Struct("=HHHxx")
"""struct xt_NFQ_info_v3 with the padding of XT_ALIGN: native byte order, unlike everything else here."""


def write_queue_rule(
    link: NetlinkSocket, table: str, chain: str, queue: Queue, *, native: bool, comment: str = ""
) -> None:
    """Makes the chain hold exactly one rule: count the packet and queue it. One transaction, no gap.

    Args:
        link: a netfilter socket in the namespace of the table.
        table: an `inet` table.
        chain: a regular chain, which exists.
        queue: the queue's number, and what happens when nobody listens there.
        native: which encoding; `Features.native_queue`.
        comment: ASCII, at most 250 bytes, shown by `nft list` and by our listing.

    Raises:
        NftError: ENOENT if the chain is missing, or the kernel has no such expression.
    """
    where = message.text(wire.NFTA_RULE_TABLE, table) + message.text(wire.NFTA_RULE_CHAIN, chain)
    expressions = message.nested(wire.NFTA_RULE_EXPRESSIONS, _counter(), encoded(queue, native=native))
    rule = where + expressions + (wire.comment(comment) if comment else b"")
    batch.commit(
        link,
        [
            batch.Command(wire.DELRULE, 0, where),
            batch.Command(wire.NEWRULE, message.NLM_F_CREATE | message.NLM_F_APPEND, rule),
        ],
        "write the queue rule of",
        f"chain {chain} of table {table}",
    )


def encoded(queue: Queue, *, native: bool) -> bytes:
    """The expression as an element of a rule's list of expressions."""
    flags = _BYPASS if queue.bypass else 0
    if native:
        return _expression(
            "queue",
            message.be16(_NFTA_QUEUE_NUM, queue.number),
            message.be16(_NFTA_QUEUE_TOTAL, 1),
            message.be16(_NFTA_QUEUE_FLAGS, flags),
        )
    return _expression(
        "target",
        message.text(_NFTA_TARGET_NAME, "NFQUEUE"),
        message.be32(_NFTA_TARGET_REV, _TARGET_REVISION),
        message.attribute(_NFTA_TARGET_INFO, _TARGET_INFO.pack(queue.number, 1, flags)),
    )


def _counter() -> bytes:
    return _expression("counter", message.be64(_NFTA_COUNTER_BYTES, 0), message.be64(_NFTA_COUNTER_PACKETS, 0))


def _expression(name: str, *attributes: bytes) -> bytes:
    return message.nested(
        wire.NFTA_LIST_ELEM, message.text(wire.NFTA_EXPR_NAME, name), message.nested(wire.NFTA_EXPR_DATA, *attributes)
    )
