"""What rules counted, by their comments: one dump of the table's rules, of which only counters and comments are read.

A comment stands for what the rule was made from; rules with the same comment are parts of it and are added up. Counters
begin anew when their chain is written. Source: linux/netfilter/nf_tables.h, NFTA_COUNTER_BYTES and _PACKETS.
"""

import re
from dataclasses import dataclass

from netlink import message
from netlink.transport import NetlinkSocket
from nft import wire
from nft.errors import NftError

_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
_TAG = re.compile(r" ?#[0-9a-f]{16}:\d+$")
"""What `nft.text.tag` put behind the comment."""


@dataclass(frozen=True, slots=True)
class Count:
    """Packets, and bytes with their network headers."""

    packets: int = 0
    bytes: int = 0


def rule_counts(link: NetlinkSocket, table: str, chain: str = "") -> dict[str, Count]:
    """Counts by comment, the tag taken off; of rules without a counter, none. Some 0.2 s for 20,000 rules.

    Args:
        link: to ask over.
        table: the table.
        chain: the only chain to look at; all, where none is named. One that is not there has no counts.

    Raises:
        NftError: the kernel refused.
    """
    counts: dict[str, Count] = {}
    sequence = link.next_sequence()
    where = message.text(wire.NFTA_RULE_TABLE, table)
    if chain:
        where += message.text(wire.NFTA_RULE_CHAIN, chain)
    request = wire.request(wire.GETRULE, message.NLM_F_DUMP, sequence, where)
    try:
        for reply in link.dump(request, sequence):
            attributes = dict(message.attributes(reply.body))
            found = _count(attributes.get(wire.NFTA_RULE_EXPRESSIONS, memoryview(b"")))
            if found is not None:
                comment = _TAG.sub("", wire.comment_in(attributes.get(wire.NFTA_RULE_USERDATA, memoryview(b""))))
                before = counts.get(comment, Count())
                counts[comment] = Count(before.packets + found.packets, before.bytes + found.bytes)
    except OSError as error:
        link.drain()
        raise NftError(error.errno or 0, "read", f"counters of table {table}") from error
    return counts


def _count(expressions: memoryview) -> Count | None:
    """The first counter among a rule's expressions."""
    for _, expression in message.attributes(expressions):
        parts = dict(message.attributes(expression))
        if wire.string(parts[wire.NFTA_EXPR_NAME]) == "counter":
            values = dict(message.attributes(parts[wire.NFTA_EXPR_DATA]))
            return Count(wire.number(values[_COUNTER_PACKETS]), wire.number(values[_COUNTER_BYTES]))
    return None
