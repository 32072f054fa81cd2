"""Random connections in a real table, a random change of policy: what is gone is what the reference semantics denies."""

from random import Random

import pytest

from bench.revocation import NoSets
from nfq.conntrack import Conntrack
from tests.lab.entries import Entry, insert
from tests.revoke.changes import Change, changed_world
from tidegate.agent.revocation import Look
from tidegate.demo.namespace import Namespace
from tidegate.judge.learned import learned_elements
from tidegate.render import RenderSettings
from tidegate.revoke.hearing import Hearing
from tidegate.revoke.part import surroundings
from tidegate.revoke.way import no_routes

pytestmark = pytest.mark.kernel
WORLDS, PROBES, LEAST_ENDED = 60, 120, 20
PLAIN = frozenset({6, 17, 132})
"""Protocols that entries can be made of by hand with any ports."""


class Learned(NoSets):
    """Learned sets as they would be in the kernel."""

    def __init__(self, names):
        self._names = names

    def learned(self, part):
        return {name: list(keys) for name, keys in learned_elements(part, self._names, RenderSettings()).items()}


@pytest.fixture
def table():
    namespace = Namespace.create("table")
    try:
        namespace.command(
            "nft", "add table inet t; add chain inet t c { type filter hook input priority 0; ct state new; }"
        )
        with namespace.entered(), Conntrack() as made:
            yield made
    finally:
        namespace.delete()


def test_what_is_gone_from_the_table_is_what_policy_denies(table):
    ended = 0
    for seed in range(WORLDS):
        change = Change(*changed_world(seed, PROBES))
        if change.now.host_endpoints or change.then.host_endpoints or not change.scope:
            continue
        opened = {}
        for one in change.connections():
            packet = one.packet
            if packet.protocol in PLAIN and packet.source.host is None and packet.destination.host is None:
                key = (packet.source.address, packet.destination.address, packet.protocol, packet.source_port)
                opened.setdefault((*key, packet.destination_port), packet)
        table.cut()
        insert(
            Entry(source=source, destination=to, protocol=protocol, source_port=source_port or 1, port=port or 1)
            for source, to, protocol, source_port, port in opened
        )
        chance = Random(seed)
        live = [name for name in change.after.names if chance.random() < 0.5]
        hearing = Hearing(change.then, change.now, change.scope, RenderSettings())
        facts = list(change.facts())
        look = Look(
            hearing,
            surroundings(hearing.part, (), no_routes),
            Learned(live),
            lambda who, facts=facts: [fact for fact in facts if who in (None, fact.endpoint)],
            lambda _: None,
        )
        look.run()
        denied = {key for key, packet in opened.items() if not change.is_allowed(change.after, packet)}
        left = {one.original for one in table.connections()}
        gone = {
            key
            for key in opened
            if (key[0].version, key[2], key[0].packed, key[1].packed, key[3] or 1, key[4] or 1) not in left
        }
        assert gone == denied, change.after.world.text()
        assert look.ended == len(denied)
        ended += len(denied)
    assert ended > LEAST_ENDED, "the changes end so few connections that nothing was tested"
