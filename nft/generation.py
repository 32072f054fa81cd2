"""The number of the ruleset's generation: whether anybody committed, without listening to what.

Every commit in the network namespace adds one (kernel: nf_tables_commit). Announcements tell more, but while anybody
listens each element that the packet process writes is announced too: 2 us a DNS answer, a tenth of what it costs.
"""

from dataclasses import dataclass
from enum import Enum
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


class Finding(Enum):
    """What two numbers and a count of our own commits say."""

    OURS = "ours"
    """Nobody else committed since the account was opened."""
    FOREIGN = "foreign"
    """Somebody did."""
    UNSURE = "unsure"
    """We committed between the two looks; look again."""


@final
@dataclass(frozen=True, slots=True)
class Look:
    """The number before and after our own commits were counted."""

    before: int
    own: int
    """Commits of ours, all that were acknowledged when they were counted; none may be under way then."""
    after: int


@final
@dataclass(frozen=True, slots=True)
class Account:
    """A generation that is known to be ours, and how many commits we had made by then."""

    generation: int
    own: int

    @classmethod
    def opened(cls, look: Look) -> "Account | None":
        """An account from a look between whose two numbers nothing happened; None for any other."""
        return cls(look.before, look.own) if look.before == look.after else None

    def judge(self, look: Look) -> Finding:
        """Whether commits that are not ours were made since."""
        ours = look.own - self.own
        if ours < 0:
            return Finding.FOREIGN  # another process counts: nothing is known of its beginning
        least = (look.before - self.generation - ours) % _MODULUS
        most = (look.after - self.generation - ours) % _MODULUS
        if most == 0:
            return Finding.OURS
        # `least` is below zero, and so near the modulus, where we committed after the first number was read.
        return Finding.FOREIGN if 0 < least < _MODULUS // 2 else Finding.UNSURE
