"""What a transaction does to packets that are held while it commits."""

import contextlib
import socket
import struct
import time
from dataclasses import replace

import pytest

from netlink import message
from nft import features
from nft.errors import CommitError
from nft.expr import Accept, Compare, Counter, Field, Goto, Jump, Op, Queue
from nft.kernel import Kernel
from nft.model import Chain, Hook, Rule
from nft.transaction import Difference
from tests.nft.kernel.test_sync import listener, loopback_up

pytestmark = pytest.mark.kernel

HELD = Chain("held", (Rule((Queue(100),)),))
ANCHOR = Chain(
    "anchor",
    (
        Rule((Compare(Field.CT_STATE, Op.EQ, "invalid"), Counter())),
        Rule((Compare(Field.DPORT, Op.EQ, 9), Goto("held"))),
    ),
    Hook("filter", "output", 0),
)
"""The only rule with `ct` in the namespace stands here."""
REWRITTEN = replace(ANCHOR, rules=(Rule((Counter(),)), *ANCHOR.rules))
WITHOUT = replace(ANCHOR, rules=ANCHOR.rules[1:])
SETTLED_SECONDS = 0.2
"""What rules held on to is given back by a worker of the kernel, a moment after the commit (nf_tables_trans_destroy_work)."""
REFUSED = replace(ANCHOR, rules=(Rule((Jump("gone"),)),))


@pytest.mark.parametrize(
    ("chain", "lives"), [(REWRITTEN, True), (WITHOUT, False)], ids=["anchor rewritten", "anchor lost"]
)
def test_a_held_packet_lives_while_the_anchor_is_there_at_commit(netns, chain, lives):
    """Emptying and filling the chain of the only conntrack rule is no moment without it; leaving it out is."""
    with contextlib.closing(Kernel("tg", features.probe())) as kernel:
        hold(kernel)
        with waiting() as (receiver, release):
            kernel.commit(Difference(changed_chains=[chain]))
            release()
            assert is_delivered(receiver) is lives


def test_a_held_packet_lives_when_a_change_of_the_anchor_is_refused(netns):
    with contextlib.closing(Kernel("tg", features.probe())) as kernel:
        hold(kernel)
        with waiting() as (receiver, release):
            with pytest.raises(CommitError):
                kernel.commit(Difference(changed_chains=[REFUSED]))
            release()
            assert is_delivered(receiver)


def hold(kernel):
    loopback_up()
    kernel.commit(Difference(new_chains=[HELD]))
    kernel.write_queue(HELD)
    kernel.commit(Difference(new_chains=[replace(ANCHOR), Chain("spare", (Rule((Accept(),)),))]))


@contextlib.contextmanager
def waiting():
    """A datagram in the queue: its receiver, and what lets it go."""
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        queue = stack.enter_context(contextlib.closing(listener(100)))
        receiver.bind(("127.0.0.1", 9))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"held", ("127.0.0.1", 9))
        packet = next(message.messages(queue.raw.recv(1 << 16)))
        number = next(payload for kind, payload in message.attributes(packet.body) if kind == 1)[:4]

        def release():
            time.sleep(SETTLED_SECONDS)
            verdict = message.attribute(2, struct.pack("!I", 1) + bytes(number))
            queue.raw.send(message.nf_message(message.NFNL_SUBSYS_QUEUE, 1, 1, 0, 0, verdict, 100))

        yield receiver, release


def is_delivered(receiver):
    receiver.settimeout(0.5)
    try:
        return receiver.recv(10) == b"held"
    except TimeoutError:
        return False
