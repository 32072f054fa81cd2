"""Do the oracles notice what a renderer does wrong with host endpoints?"""

import pytest

from nft.expr import Goto, Jump, MarkBits
from nft.model import Chain, Rule
from policy.rules import EVERY_INTERFACE
from tests.oracles.test_sensitivity import is_noticed
from tidegate.judge import nodes as nodes_module
from tidegate.render import hosts as hosts_module
from tidegate.render import mirror as mirror_module
from tidegate.render.places import HostPlace


@pytest.mark.parametrize("forgotten", HostPlace)
def test_a_place_where_nobody_is_asked_is_noticed(forgotten, monkeypatch):
    asked = mirror_module.asked
    monkeypatch.setattr(mirror_module, "asked", lambda host, place: None if place is forgotten else asked(host, place))
    assert is_noticed()


def test_lists_of_forwarded_packets_that_deny_at_their_end_are_noticed(monkeypatch):
    ask = mirror_module.asked

    def closed(host, place):
        found = ask(host, place)
        if found is None or not found.is_open:
            return found
        return type(found).ask(found.tiers, found.profiles, found.direction)

    monkeypatch.setattr(mirror_module, "asked", closed)
    assert is_noticed()


def test_an_endpoint_for_every_interface_that_has_none_is_noticed(monkeypatch):
    choose = nodes_module.protected

    def without_the_rest(endpoints, addresses):
        found = choose(endpoints, addresses)
        return {one: tuple(name for name in names if name != EVERY_INTERFACE) for one, names in found.items()}

    monkeypatch.setattr(nodes_module, "protected", without_the_rest)
    assert is_noticed()


def test_a_forgotten_failsafe_is_noticed(monkeypatch):
    monkeypatch.setattr(
        hosts_module, "failsafe_chains", lambda settings: tuple(Chain(name) for name in set(_failsafe_names()))
    )
    assert is_noticed()


def _failsafe_names():
    return hosts_module._FAILSAFE.values()


@pytest.mark.parametrize("kind", [Jump, Goto])
def test_the_wrong_way_past_the_failsafes_is_noticed(kind, monkeypatch):
    """The failsafes must be asked, and come back."""
    make = hosts_module._entry

    def wrong(*arguments):
        entry = make(*arguments)
        rules = [rule for rule in entry.rules if not isinstance(rule.statements[-1], Jump)]
        if kind is Goto and len(rules) < len(entry.rules):
            rules.insert(0, Rule((Goto(entry.rules[0].statements[-1].chain),)))
        return Chain(entry.name, tuple(rules))

    monkeypatch.setattr(hosts_module, "_entry", wrong)
    assert is_noticed()


def test_what_was_allowed_before_dnat_and_is_judged_again_is_noticed(monkeypatch):
    never = MarkBits(1 << 25, hosts_module.Op.EQ, 1 << 25)
    monkeypatch.setattr(hosts_module, "_is_marked", lambda bit: never)
    assert is_noticed()
