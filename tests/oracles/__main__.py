"""Random worlds in numbers that no test run has the time for: `python -m tests.oracles [--kernel] CASES [FIRST_SEED]`.

Without `--kernel` the reference semantics against the rendered rules, on every core; with it both against real packets,
in namespaces (root). Prints what was judged; ends with 1 at the first worlds where the oracles are of different minds,
or if a criterion never decided anything, or if nearly everything is allowed or denied.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.oracles.cases import Case
from tests.oracles.coverage import CRITERIA, MATCHED, counted
from tests.oracles.played import play_world
from tests.oracles.worlds import make_world

PROBES = 40
MIN_SHARE = 0.1
"""Of each verdict."""
MAX_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """What one world had to say."""

    cases: int
    allowed: int
    wrong: tuple[str, ...] = ()
    decided_by: Counter[str] = field(default_factory=Counter)


def simulated(seed: int) -> Heard:
    """Judges a world by evaluation and simulation."""
    case = Case(make_world(seed, PROBES))
    simulation = case.simulation()
    wrong, allowed = [], 0
    with counted() as decided_by:
        for probe, packet in case.packets:
            wanted = case.evaluated(packet)
            allowed += wanted.is_allowed
            if not simulation.judge(packet).agrees(wanted):
                wrong.append(f"seed {seed}, {probe}\n{case.world.text()}")
    return Heard(len(case.packets), allowed, tuple(wrong), decided_by)


def on_the_kernel(seed: int) -> Heard:
    """Judges a world by all three."""
    played = play_world(seed, PROBES)
    return Heard(played.packets, played.allowed, played.wrong)


def main() -> int:
    """Runs worlds until there were enough cases."""
    parser = argparse.ArgumentParser(prog="tests.oracles")
    parser.add_argument("cases", type=int)
    parser.add_argument("first", type=int, nargs="?", default=0, help="number of the first world")
    parser.add_argument("--kernel", action="store_true", help="real packets in namespaces")
    wanted = parser.parse_args()
    began = time.monotonic()
    judge = on_the_kernel if wanted.kernel else simulated
    total = _gathered(judge, wanted.cases, wanted.first)
    seconds = time.monotonic() - began
    share = total.allowed / max(total.cases, 1)
    print(f"{total.cases} cases in {seconds:.0f} s, {share:.0%} allowed, {len(total.wrong)} disagreements")
    for criterion, times in sorted(total.decided_by.items()):
        print(f"  {criterion}: {times}")
    for text in total.wrong[:MAX_SHOWN]:
        print(text, file=sys.stderr)
    silent = set() if wanted.kernel else {*CRITERIA, MATCHED} - total.decided_by.keys()
    if silent:
        print(f"never decided anything: {', '.join(sorted(silent))}", file=sys.stderr)
    return int(bool(total.wrong or silent) or not MIN_SHARE < share < 1 - MIN_SHARE)


def _gathered(judge: Callable[[int], Heard], cases: int, first: int) -> Heard:
    """Worlds one after another on every core, until the cases are enough or enough of them are wrong."""
    played, allowed, wrong, decided_by = 0, 0, [], Counter()
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for heard in pool.imap(judge, range(first, first + cases), chunksize=1 if cases < 5000 else 20):
            played, allowed = played + heard.cases, allowed + heard.allowed
            wrong += heard.wrong
            decided_by.update(heard.decided_by)
            if played >= cases or len(wrong) >= MAX_SHOWN:
                break
        pool.terminate()
    return Heard(played, allowed, tuple(wrong), decided_by)


if __name__ == "__main__":
    sys.exit(main())
