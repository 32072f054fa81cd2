"""Where bound rules lead, by domain set."""

from dataclasses import replace

import pytest

from policy.rules import PortRange
from tests.render.states import policy, to
from tidegate.sync.doors import doors_of, joined


def made(is_staged=False, **rule):
    rule = {"protocol": 6, "is_bound": True} | rule
    named = policy("named", egress=({"destination": to(domain_set="d", **rule.pop("to", {}))} | rule,))
    return replace(named, is_staged=is_staged)


@pytest.mark.parametrize(
    ("rule", "doors"),
    [
        ({"to": {"ports": (PortRange(443, 443),)}}, [(6, 443, 443)]),
        ({"to": {"ports": (PortRange(80, 80), PortRange(440, 450))}}, [(6, 80, 80), (6, 440, 450)]),
        ({}, [(6, 0, 65_535)]),
        ({"protocol": None}, [(0, 0, 65_535)]),
        ({"to": {"ports": (PortRange(443, 443),), "port_sets": ("web",)}}, [(6, 0, 65_535)]),
        ({"is_bound": False}, []),
        ({"is_staged": True}, []),
    ],
)
def test_a_rule_leads_to_its_ports(rule, doors):
    assert doors_of(made(**rule)) == tuple(("d", door) for door in doors)


def test_the_rules_of_all_policies_about_one_set_are_put_together():
    parts = (("d", (6, 443, 443)), ("e", (6, 1, 1))), (("d", (6, 80, 80)), ("d", (6, 443, 443)))
    assert joined(parts) == {"d": ((6, 80, 80), (6, 443, 443)), "e": ((6, 1, 1),)}
