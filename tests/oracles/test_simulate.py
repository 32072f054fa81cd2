"""Two oracles, one truth table: the reference semantics against the rendered rules, on random worlds."""

from collections import Counter

import pytest

from policy.evaluate import Frame, Happened, judge
from policy.hosts import Tunnels
from tests.oracles.cases import Case
from tests.oracles.coverage import CRITERIA, MATCHED, counted
from tests.oracles.shrink import shrunk
from tests.oracles.worlds import make_world
from tidegate.judge.answer import of_evaluation
from tidegate.judge.nodes import node_state
from tidegate.render import RenderSettings, render_table
from tidegate.render import policy as policy_module
from tidegate.render.match import conditions

WORLDS, PROBES, BATCH = 600, 40, 50
MIN_CASES = 20_000


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_rendered_rules_say_what_evaluate_says(first):
    """Verdict, tier, policy and rule, on both sides."""
    played = 0
    for seed in range(first, first + BATCH):
        case = Case(make_world(seed, PROBES))
        simulation = case.simulation()
        for probe, packet in case.packets:
            wanted, found = case.evaluated(packet), simulation.judge(packet)
            assert found.agrees(wanted), report(case, probe)
        played += len(case.packets)
    assert played * (WORLDS / BATCH) >= MIN_CASES


def test_rendered_tunnels_say_what_evaluate_says():
    """With the settings under which nodes speak to each other in tunnels; in the other worlds there are none."""
    tunnels = Tunnels(has_ipip=True, vxlan_port=4789, wireguard_ports=(51820,))
    settings, frame = (
        RenderSettings(tunnels=tunnels, allows_ipip=True),
        Frame(tunnels=tunnels, allow_ipip_packets_from_workloads=True),
    )
    seen = Counter()
    for seed in range(200):
        case = Case(make_world(seed, PROBES))
        simulation = case.simulation(settings)
        for probe, packet in case.packets:
            verdict = judge(case.reference, packet, case.names, frame)
            assert simulation.judge(packet).agrees(of_evaluation(verdict)), f"{probe}\n{case.world.text()}"
            seen.update(side.deciding.happened for side in (verdict.egress, verdict.ingress) if side)
    assert seen[Happened.TUNNEL_ALLOWED]
    assert seen[Happened.TUNNEL_DENIED]


def test_every_criterion_decides_something_and_both_verdicts_are_common():
    """A field that the worlds never put to the test is one on which the oracles were never asked to agree."""
    verdicts = Counter()
    with counted() as decided_by:
        for seed in range(WORLDS // 2):
            case = Case(make_world(seed, PROBES))
            verdicts.update(case.evaluated(packet).is_allowed for _, packet in case.packets)
    assert {*CRITERIA, MATCHED} <= decided_by.keys(), decided_by
    assert min(verdicts[True], verdicts[False]) > verdicts.total() / 10, verdicts


def report(case, probe):
    """The disagreement in the smallest world that still has it, ready for `tidegate eval`."""
    small = Case(shrunk(case.world, probe))
    simulation = small.simulation()
    answers = [
        f"evaluate: {small.evaluated(packet).document(0)}\nsimulate: {simulation.judge(packet).document(0)}"
        for _, packet in small.packets
    ]
    return "\n".join([f"seed {case.world.seed}, probe {probe['id']}", *answers, small.world.text()])


def test_a_disagreement_is_reported_in_a_small_world(monkeypatch):
    def forgetful(rule, content, **grace):
        return () if rule.not_protocol else conditions(rule, content, **grace)

    monkeypatch.setattr(policy_module, "conditions", forgetful)
    with pytest.raises(AssertionError) as caught:
        test_rendered_rules_say_what_evaluate_says(0)
    text = str(caught.value)
    assert "notProtocol" in text
    assert text.count("kind: ") <= 3
    assert text.count("action: ") <= 1


def test_the_worlds_have_every_limit_in_packets_ways():
    cases = [Case(make_world(seed)) for seed in range(20)]
    tables = [render_table(node_state(case.resources, "node1", case.links), RenderSettings()) for case in cases]
    chains = [chain for table in tables for chain in table.chains]
    for prefix in ("qe-", "qi-", "ce-", "ci-", "me-", "mi-"):
        assert any(chain.startswith(prefix) for chain in chains), prefix
