"""The number of the ruleset's generation: whether anybody committed, without listening to what.

Every commit in the network namespace adds one (kernel: nf_tables_commit). Announcements tell more, but while anybody
listens each element that the packet process writes is announced too: 2 us a DNS answer, a tenth of what it costs.
"""

from dataclasses import dataclass
from typing import final

from netlink import message
from netlink.transport import NetlinkSocket
from nft import wire

_MODULUS = 1 << 32


def read_generation(link: NetlinkSocket) -> int:
    """The present number.

    Raises:
        OSError: there is no nf_tables.
    """
    sequence = link.next_sequence()
    replies = link.dump(wire.request(wire.GETGEN, message.NLM_F_ACK, sequence), sequence)
    numbers = [
        wire.number(payload)
        for reply in replies
        for kind, payload in message.attributes(reply.body)
        if kind == wire.NFTA_GEN_ID
    ]
    return numbers[-1]


@final
@dataclass(frozen=True, slots=True)
class Tally:
    """The number, and how many of all commits were ours, at one moment in which none of ours was under way."""

    generation: int
    own: int

    def foreign_since(self, earlier: "Tally") -> int:
        """How many commits others have made since; senseless, and not 0, where our count began anew meanwhile."""
        return (self.generation - earlier.generation - (self.own - earlier.own)) % _MODULUS
