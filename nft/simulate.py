"""Sends a packet through a table and says what becomes of it: the kernel's evaluation, in Python.

    simulator = Simulator(table, elements={"d4-..": {(source, destination)}})
    outcome = simulator.run(Packet(...), ("prerouting", "forward", "postrouting"))

Base chains of a hook run in the order of their priority. `jump` comes back to the next rule, `goto` to where the chain
that left would have come back to, the end of a base chain is its policy, `accept` ends the base chain and nothing else,
`drop` is final (kernel: nft_do_chain in nf_tables_core.c). What a queue does is up to a listener: without one, the run
ends there. Random tables and packets are played against the kernel by `tests/nft/kernel/test_simulate.py`.

Not simulated:
- conntrack: the packet says its state, direction and mark. Only that chains before conntrack (priority -200) do not see
  them yet, and what `notrack` does, is told apart. Entries are not remembered from one packet to the next.
- sockets: nobody listens, and no socket is transparent, so `tproxy` never takes a packet.
- time, rates and numbers of connections: a limit is never reached; timeouts of elements do not pass; dynamic sets stay
  as they are and are never full.
- routing and NAT: the packet says its interfaces and whether its source has a way back; marks do not change the route.
- fragments, extension headers, and packets inside ICMP errors. What `reject` sends.
- `icmp` fields behind a comparison of `meta l4proto`: nft then leaves out the comparison of the family, so that the
  rule also matches ICMP in IPv6 and ICMPv6 in IPv4. Here each belongs to its own family.
- the order of base chains with equal hook and priority (here: as in the table; in the kernel: the youngest first).
- other tables, and other families.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from nft import expr
from nft.matching import Packet, Reader, Run, SimulationError, Step, Test, contains, key_of, make_test, reader
from nft.model import Chain, Hook, Key, Rule, Table

MAX_JUMPS = 15
"""Longest way from a base chain, by jump or goto, that the kernel loads (one less than NFT_JUMP_STACK_SIZE)."""
MAX_REPEATS = 8
"""A listener that says REPEAT more often for one packet has a loop: the kernel would never end it."""
_CONNTRACK_PRIORITY = -200
"""Where conntrack sees packets that come in, and those of the host itself (NF_IP_PRI_CONNTRACK)."""


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
    ct_mark: int = 0
    """Of its connection."""
    queue: int | None = None
    """The queue that it went to last."""
    logs: tuple[str, ...] = ()
    """Prefixes of kernel log lines, and `group N` for copies, in order."""
    remembered: tuple[tuple[str, Key], ...] = ()
    """What `update` put into dynamic sets, by set name, in order. Further packets are told of it by `elements` only."""


class Answer(Enum):
    """What user space says of a held packet (linux/netfilter.h: NF_ACCEPT, NF_DROP, NF_REPEAT)."""

    ACCEPT = "accept"
    """Goes on behind this base chain."""
    DROP = "drop"
    REPEAT = "repeat"
    """Meets the same base chain again, from its first rule."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A verdict, and the mark it gives the packet; None leaves the mark."""

    answer: Answer
    mark: int | None = None


Listener = Callable[[expr.Queue, int], Answered | None]
"""Is told the queue and the packet's mark. None: nobody listens, so a queue with `bypass` accepts, another drops."""

Ending = expr.Verdict | expr.Reject | expr.Queue | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    tests: tuple[Test, ...]
    ending: Ending
    """None: no terminal statement, or a verdict map."""
    readers: tuple[Reader, ...]
    """Those of a verdict map."""
    verdicts: Mapping[Key, expr.Verdict] | None
    step: Step


class Simulator:
    """A table made ready: about a microsecond a statement. Immutable; `elements` are those of learned sets."""

    def __init__(self, table: Table, elements: Mapping[str, Collection[Key]] | None = None) -> None:
        """Compiles the table.

        Raises:
            SimulationError: a rule names a chain, set or map that is not there, or a way is too long or a circle.
        """
        self._table = table
        extra = elements or {}
        self._sets = {
            name: contains(shape, [*table.elements.get(name, ()), *extra.get(name, ())])
            for name, shape in table.sets.items()
        }
        self._chains = {name: self._compile(chain) for name, chain in table.chains.items()}
        hooked = [(chain.name, chain.hook) for chain in table.chains.values() if chain.hook is not None]
        self._hooks: dict[str, list[tuple[str, Hook]]] = {}
        for name, hook in sorted(hooked, key=lambda each: each[1].priority):
            self._hooks.setdefault(hook.hook, []).append((name, hook))
        self._check_ways([name for name, _ in hooked])

    def run(
        self,
        packet: Packet,
        hooks: Sequence[str],
        listener: Listener | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> Outcome:
        """Takes the packet through the hooks in order, until something ends it.

        Args:
            packet: the packet.
            hooks: by name, in the order in which it passes them.
            listener: reads the queues.
            only: the base chains that it meets, to ask about a part of its way; all, where none are named.

        Raises:
            SimulationError: the listener repeats without end.
        """
        run = Run(packet, packet.mark, packet.ct_mark)
        end = self._through(run, hooks, listener, only)
        return Outcome(
            end=end,
            trace=tuple(run.trace),
            mark=run.mark,
            ct_mark=run.ct_mark,
            queue=run.queue,
            logs=tuple(run.logs),
            remembered=tuple(run.remembered),
        )

    def _through(self, run: Run, hooks: Sequence[str], listener: Listener | None, only: Collection[str] | None) -> End:
        for hook in hooks:
            for name, hung in self._hooks.get(hook, ()):
                if only is not None and name not in only:
                    continue
                _enter(run, hung)
                end = self._base_chain(name, hung.policy, run, listener)
                if end is not End.ACCEPT:
                    return end
        return End.ACCEPT

    def _base_chain(self, name: str, policy: str, run: Run, listener: Listener | None) -> End:
        for _ in range(MAX_REPEATS + 1):
            match self._walk(name, run):
                case expr.Accept():
                    return End.ACCEPT
                case expr.Drop() | expr.Reject():
                    return End.DROP
                case expr.Queue() as queue:
                    run.queue = queue.number
                    end = End.QUEUE if listener is None else _answered(listener(queue, run.mark), queue, run)
                    if end is not None:
                        return end
                case _:
                    run.trace.append(Step(name, -1, f"policy {policy}"))
                    return End(policy)
        raise SimulationError(f"cannot repeat chain {name} for ever: the packet is queued again and again")

    def _walk(self, name: str, run: Run) -> Ending:
        """The verdict of a chain; None if it came to its end or returned."""
        for rule in self._chains[name]:
            for test in rule.tests:
                if not test(run):
                    break
            else:
                ending = rule.ending if rule.verdicts is None else _found(rule.readers, rule.verdicts, run)
                if ending is None and rule.verdicts is not None:
                    continue
                run.trace.append(rule.step)
                match ending:
                    case None:
                        continue
                    case expr.Jump(chain=chain):
                        ending = self._walk(chain, run)
                        if ending is None:
                            continue
                    case expr.Goto(chain=chain):
                        ending = self._walk(chain, run)
                return None if isinstance(ending, expr.Return) else ending
        return None

    # --- compilation ---

    def _compile(self, chain: Chain) -> tuple[_Compiled, ...]:
        return tuple(
            self._rule(rule, Step(chain.name, number, rule.comment)) for number, rule in enumerate(chain.rules)
        )

    def _rule(self, rule: Rule, step: Step) -> _Compiled:
        ending: Ending = None
        readers: tuple[Reader, ...] = ()
        verdicts = None
        before = rule.statements
        match before[-1] if before else None:
            case expr.VerdictMap(fields=fields, map_name=name):
                if name not in self._table.maps:
                    raise SimulationError(f"cannot find map {name}")
                readers, verdicts = tuple(map(reader, fields)), self._table.verdicts.get(name, {})
            case (
                expr.Accept()
                | expr.Drop()
                | expr.Return()
                | expr.Jump()
                | expr.Goto()
                | expr.Reject()
                | expr.Queue() as end
            ):
                ending = end
            case _:
                return _Compiled(self._tests(before), None, (), None, step)
        return _Compiled(self._tests(before[:-1]), ending, readers, verdicts, step)

    def _tests(self, statements: Sequence[expr.Statement]) -> tuple[Test, ...]:
        return tuple(make_test(item, self._sets) for item in statements if not isinstance(item, expr.Counter))

    def _check_ways(self, base_chains: Sequence[str]) -> None:
        """Follows all ways from base chains, as the kernel does before it commits (nft_chain_validate)."""
        onward = {name: set(self._onward(name)) for name in self._chains}
        for missing in sorted(set().union(*onward.values()) - self._chains.keys()):
            raise SimulationError(f"cannot find chain {missing}")
        heights: dict[str, int] = {}

        def climb(name: str, level: int) -> None:
            if level <= MAX_JUMPS and name not in heights:
                for further in onward[name]:
                    climb(further, level + 1)
                heights[name] = max((1 + heights[further] for further in onward[name]), default=0)
            if level + heights.get(name, 0) > MAX_JUMPS:
                raise SimulationError(f"cannot go more than {MAX_JUMPS} chains far, or in circles: {name}")

        for name in base_chains:
            climb(name, 0)

    def _onward(self, name: str) -> Iterator[str]:
        for rule in self._chains[name]:
            for verdict in {rule.ending} if rule.verdicts is None else set(rule.verdicts.values()):
                if isinstance(verdict, expr.Jump | expr.Goto):
                    yield verdict.chain


def _found(readers: tuple[Reader, ...], verdicts: Mapping[Key, expr.Verdict], run: Run) -> Ending:
    key = key_of(readers, run)
    return None if key is None else verdicts.get(key)


def _enter(run: Run, hung: Hook) -> None:
    """What a packet has and lacks where the base chain hangs. Without a conntrack entry its state is `invalid`."""
    run.oif = "" if hung.hook in ("prerouting", "input") else run.packet.oif
    is_early = hung.hook in ("prerouting", "output") and hung.priority <= _CONNTRACK_PRIORITY
    state = "invalid" if is_early else run.packet.ct_state
    run.ct_state = "untracked" if run.is_untracked else state


def _answered(answered: Answered | None, queue: expr.Queue, run: Run) -> End | None:
    """How the base chain ends by what user space said; None: it is repeated."""
    if answered is None:
        return End.ACCEPT if queue.bypass else End.DROP
    if answered.mark is not None:
        run.mark = answered.mark
    return None if answered.answer is Answer.REPEAT else End(answered.answer.value)
