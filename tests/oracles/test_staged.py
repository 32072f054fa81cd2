"""Staged policy in random worlds: nothing is otherwise for it, and what it says would be is what promotion makes."""

from collections import Counter
from dataclasses import replace

import pytest

from policy.evaluate import Happened
from policy.staged import is_staged
from tests.oracles import staged
from tests.oracles.cases import Case
from tests.oracles.worlds import World, make_world
from tidegate.judge.answer import Answer, DirectionAnswer, Step
from tidegate.judge.nodes import node_names, node_state
from tidegate.render import RenderSettings, render_table

WORLDS, BATCH = 300, 50
ENDS = (Happened.END_OF_TIER_DENIED, Happened.END_OF_TIER_PASSED)


def staged_worlds(first: int) -> list[World]:
    worlds = [make_world(seed) for seed in range(first, first + BATCH)]
    return [world for world in worlds if world.documents != staged.without(world.documents)]


def decisions(answer: Answer) -> list:
    return [side and side.decision for side in (answer.egress, answer.ingress)]


def meant(answer: Answer | None) -> list:
    """What decided: kinds differ when a policy is promoted, and the end of a tier is put down to another policy."""
    assert answer is not None
    steps = [side and side.deciding for side in (answer.egress, answer.ingress)]
    return [
        step and (step.happened, step.tier, step.rule, step.policy and step.rule >= 0 and step.policy.name)
        for step in steps
    ]


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_the_verdict_is_that_of_the_world_without_staged_policies(first):
    """In both oracles, with the rule that decides."""
    for world in staged_worlds(first):
        case, bare = Case(world), Case(replace(world, documents=staged.without(world.documents)))
        simulation = case.simulation()
        for (probe, packet), (_, same) in zip(case.packets, bare.packets, strict=True):
            wanted = bare.evaluated(same)
            assert decisions(case.evaluated(packet)) == decisions(wanted), f"{probe}\n{world.text()}"
            assert decisions(simulation.judge(packet)) == decisions(wanted), f"{probe}\n{world.text()}"


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_the_pending_verdict_is_that_of_the_world_where_they_are_enforced(first):
    changed = 0
    for world in staged_worlds(first):
        case, later = Case(world), Case(replace(world, documents=staged.promoted(world.documents)))
        for (probe, packet), (_, same) in zip(case.packets, later.packets, strict=True):
            answer, wanted = case.evaluated(packet), later.evaluated(same)
            assert meant(answer.pending) == meant(wanted), f"{probe}\n{world.text()}"
            changed += answer.is_allowed != wanted.is_allowed
    assert changed > 20


def test_the_rules_count_what_the_pending_walk_reaches():
    """Without host endpoints: the kernel counts at each place what comes there now, not what would come there."""
    seen: Counter[str] = Counter()
    cases = (Case(world) for first in range(0, WORLDS, BATCH) for world in staged_worlds(first))
    for case in (case for case in cases if not case.reference.hosts):
        simulation = case.simulation()
        for probe, packet in case.packets:
            answer, found = case.evaluated(packet), simulation.judge(packet)
            assert answer.pending is not None
            for side in ("egress", "ingress"):
                walked, counted = getattr(answer.pending, side), getattr(found, side)
                if walked is not None:
                    wanted = reached(walked)
                    tiers = {step.tier for step in wanted}
                    assert [same(step) for step in counted.staged if step.rule >= 0 or step.tier in tiers] == [
                        same(step) for step in wanted
                    ], f"{side} of {probe}\n{case.world.text()}"
                    seen.update(step.happened for step in wanted)
    assert set(seen) >= {Happened.ALLOWED, Happened.DENIED, Happened.PASSED, *ENDS}


def reached(side: DirectionAnswer) -> list[Step]:
    """The staged rules that match on the way, and the ends of the tiers in which they stand."""
    on_trial = [step for step in side.trace if step.policy is not None and is_staged(step.policy)]
    tiers = {step.tier for step in on_trial}
    return [
        step
        for step in side.trace
        if (step in on_trial and step.happened is not Happened.NOT_MATCHED)
        or (step.happened in ENDS and step.tier in tiers)
    ]


def same(step: Step) -> tuple:
    return (step.happened, step.tier, step.policy, step.rule)


def test_what_decides_is_the_same_to_the_letter():
    """Chains of enforced policies and tiers neither come nor go nor change with a staged one, so their counters stay."""
    compared = 0
    for world in staged_worlds(0):
        case, bare = Case(world), Case(replace(world, documents=staged.without(world.documents)))
        for node in node_names(case.resources):
            with_them = render_table(node_state(case.resources, node), RenderSettings()).chains
            alone = render_table(node_state(bare.resources, node), RenderSettings()).chains
            lasting = {name: chain for name, chain in alone.items() if name[:3] in ("pe-", "pi-", "te-", "ti-")}
            assert lasting == {name: with_them.get(name) for name in lasting}
            compared += len(lasting)
    assert compared > 50
