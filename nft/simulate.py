"""Sends a packet through a table and says what becomes of it: the kernel's evaluation, in Python.

    simulator = Simulator(table, elements={"d4-..": {(source, destination)}})
    outcome = simulator.run(Packet(...), ("prerouting", "forward", "postrouting"))

Base chains of a hook run in the order of their priority. `jump` comes back to the next rule, `goto` to where the chain
that left would have come back to, the end of a base chain is its policy, `accept` ends the base chain and nothing else,
`drop` is final (kernel: nft_do_chain in nf_tables_core.c).

Not simulated: conntrack (the packet says its own state), NAT, fragments, time and rates (a limit always lets go on),
other tables, and what happens in user space: a `Queue` ends the run with the queue's number.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from nft import expr
from nft.matching import Packet, Reader, Run, SimulationError, Step, Test, contains, key_of, make_test, reader
from nft.model import Chain, Key, Rule, Table

MAX_JUMPS = 16
"""The kernel's jump stack (NFT_JUMP_STACK_SIZE); it refuses deeper rulesets when they are loaded."""


class End(StrEnum):
    """How a run ends."""

    ACCEPT = "accept"
    DROP = "drop"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the packet."""

    end: End
    trace: tuple[Step, ...]
    mark: int
    queue: int | None = None
    logs: tuple[str, ...] = ()
    """Prefixes of kernel log lines, and `group N` for copies, in order."""


Ending = expr.Verdict | expr.Reject | expr.Queue | None
Decision = Callable[[Run], Ending]


@dataclass(frozen=True, slots=True)
class _Compiled:
    tests: tuple[Test, ...]
    decide: Decision | None
    """None: a rule without a terminal statement."""
    step: Step


class Simulator:
    """A table made ready: about a microsecond a rule. Immutable; `elements` are those of learned sets."""

    def __init__(self, table: Table, elements: Mapping[str, Collection[Key]] | None = None) -> None:
        """Compiles the table.

        Raises:
            SimulationError: a rule names a chain, set or map that is not there.
        """
        self._table = table
        extra = elements or {}
        self._sets = {
            name: contains(shape, [*table.elements.get(name, ()), *extra.get(name, ())])
            for name, shape in table.sets.items()
        }
        self._chains = {name: self._compile(chain) for name, chain in table.chains.items()}
        hooked = [chain for chain in table.chains.values() if chain.hook is not None]
        self._hooks: dict[str, list[Chain]] = {}
        for chain in sorted(hooked, key=lambda each: each.hook.priority if each.hook else 0):
            assert chain.hook is not None
            self._hooks.setdefault(chain.hook.hook, []).append(chain)

    def run(self, packet: Packet, hooks: Sequence[str]) -> Outcome:
        """Takes the packet through the hooks in order, until something ends it."""
        run = Run(packet, packet.mark)
        end = self._through(run, hooks)
        return Outcome(end=end, trace=tuple(run.trace), mark=run.mark, queue=run.queue, logs=tuple(run.logs))

    def _through(self, run: Run, hooks: Sequence[str]) -> End:
        for hook in hooks:
            for chain in self._hooks.get(hook, ()):
                end = self._base_chain(chain, run)
                if end is not End.ACCEPT:
                    return end
        return End.ACCEPT

    def _base_chain(self, chain: Chain, run: Run) -> End:
        ending = self._walk(chain.name, run, 0)
        match ending:
            case expr.Drop() | expr.Reject():
                return End.DROP
            case expr.Queue(number=number):
                run.queue = number
                return End.QUEUE
            case expr.Accept():
                return End.ACCEPT
            case _:
                assert chain.hook is not None
                run.trace.append(Step(chain.name, -1, f"policy {chain.hook.policy}"))
                return End(chain.hook.policy)

    def _walk(self, name: str, run: Run, depth: int) -> Ending:
        """The verdict of a chain; None if it came to its end or returned."""
        if depth > MAX_JUMPS:
            raise SimulationError(f"cannot jump deeper than {MAX_JUMPS} chains: {name}")
        for rule in self._chains[name]:
            if not all(test(run) for test in rule.tests):
                continue
            if rule.decide is None:
                run.trace.append(rule.step)
                continue
            ending = rule.decide(run)
            if ending is None:
                continue
            run.trace.append(rule.step)
            match ending:
                case expr.Return():
                    return None
                case expr.Goto(chain=chain):
                    return self._walk(chain, run, depth + 1)
                case expr.Jump(chain=chain):
                    inner = self._walk(chain, run, depth + 1)
                    if inner is not None:
                        return inner
                case _:
                    return ending
        return None

    # --- compilation ---

    def _compile(self, chain: Chain) -> tuple[_Compiled, ...]:
        return tuple(self._rule(chain, number, rule) for number, rule in enumerate(chain.rules))

    def _rule(self, chain: Chain, number: int, rule: Rule) -> _Compiled:
        *before, last = rule.statements
        step = Step(chain.name, number, rule.comment)
        decide = self._decision(last)
        before = before if decide is not None else list(rule.statements)
        tests = tuple(make_test(item, self._sets) for item in before)
        return _Compiled(tests, decide, step)

    def _decision(self, item: expr.Statement) -> Decision | None:
        match item:
            case expr.VerdictMap(fields=fields, map_name=name):
                verdicts = self._table.verdicts.get(name)
                if name not in self._table.maps:
                    raise SimulationError(f"cannot find map {name}")
                for verdict in (verdicts or {}).values():
                    self._check_chain(verdict)
                readers = tuple(map(reader, fields))
                return partial(_from_map, readers, verdicts or {})
            case expr.Accept() | expr.Drop() | expr.Return() | expr.Jump() | expr.Goto() | expr.Reject() | expr.Queue():
                self._check_chain(item)
                return partial(_always, item)
            case _:
                return None

    def _check_chain(self, item: expr.Statement) -> None:
        if isinstance(item, expr.Jump | expr.Goto) and item.chain not in self._table.chains:
            raise SimulationError(f"cannot find chain {item.chain}")


def _always(item: Ending, run: Run) -> Ending:  # noqa: ARG001 - a decision looks at the packet, this one does not
    return item


def _from_map(readers: tuple[Reader, ...], verdicts: Mapping[Key, expr.Verdict], run: Run) -> Ending:
    key = key_of(readers, run)
    return None if key is None else verdicts.get(key)
