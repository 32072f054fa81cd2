"""Grace: pairs of endpoint and address that the kernel's rules have noted, and that may connect when its time is over.

The rules fill the sets by themselves (`tidegate.render.grace`), each connection gives its pair the whole grace again.
What is left to do here is to take pairs out:

    at once       what an endpoint may no longer have (policy, its end, its address is another's), and addresses whose
                  names a rule selects no more; behind the deletion of the learned elements, so that nothing comes back
    at a sweep    pairs that were not open by name for so long that their cap is over, that a guard refuses now, or that
                  have more time than the rule gives today

Bounded by the sets' sizes and by `MAX_PAIRS` in all: beyond it pairs are taken out as they are found.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from dnsagent.element_table import ElementKey, owner_of
from dnsagent.learn import Learner
from dnsagent.plan import EndpointPlan, RulePlan
from nft.elements import Element
from nft.errors import NftError
from reconcile.clock import Clock
from reconcile.instant import Instant, WallInstant

MAX_PAIRS: Final = 131_072
SWEEP_SECONDS: Final = 30.0
_LEAST_SWEEP_SECONDS: Final = 0.5
_PASSES: Final = 3
"""Looks at a set that is being cleared: a packet may have been judged while its learned element was deleted."""
_SLACK_SECONDS: Final = 1.0
"""The kernel counts in ticks of its own."""

ReadSet = Callable[[str], Sequence[Element]]
Delete = Callable[[Iterable[ElementKey]], None]


class KernelReader(Protocol):
    """What is needed of `nft.elements.ElementWriter`."""

    def read(self, set_name: str) -> list[Element]:
        """All elements of a set with the time left to them; raises NftError where there is none."""


@dataclass(frozen=True, slots=True)
class GraceSet:
    """One family's set of one rule."""

    name: str
    learned: str
    """The learned set whose hits fill it."""
    number: int
    """Of the rule in the plan."""
    rule: RulePlan


def grace_sets(learner: Learner) -> tuple[GraceSet, ...]:
    """Those of the present plan."""
    return tuple(
        GraceSet(name, learned, number, rule)
        for number, rule in enumerate(learner.plan.rules)
        if rule.grace
        for name, learned in ((rule.grace4, rule.set4), (rule.grace6, rule.set6))
    )


def learned_part(key: bytes) -> bytes:
    """The learned address in a pair: the second half."""
    return key[len(key) // 2 :]


class GraceKeeper:
    """A service of the packet loop. Holds when each pair was open by name last; writes that down for the next life."""

    def __init__(self, learner: Learner, reader: KernelReader, delete: Delete, clock: Clock, path: Path) -> None:
        """`path`: where it is written down."""
        self._learner = learner
        self._reader = reader
        self._delete = delete
        self._clock = clock
        self._path = path
        self._counters: Counter[str] = learner.counters
        self._open_at: dict[ElementKey, Instant] = read_times(path, clock.now(), clock.wall())
        self._waiting: list[GraceSet] = []
        """Sets that this sweep has still to look at."""
        self._seen: set[ElementKey] = set()
        """In this sweep."""
        self._next_sweep = clock.now()
        self.full: frozenset[str] = frozenset()
        """Sets that the last sweep found full: their rules give no grace to more pairs."""
        self._found_full: set[str] = set()

    def __len__(self) -> int:
        """Pairs in grace, as far as the last sweep has seen them."""
        return len(self._open_at)

    # --- a service of the loop ---

    def expire(self, now: Instant) -> None:
        """Looks at one set, if a sweep is due or under way."""
        if now < self._next_sweep:
            return
        if not self._waiting:
            self._waiting = list(grace_sets(self._learner))
        if self._waiting:
            self._sweep(self._waiting.pop(), now)
        if not self._waiting:
            self._end_sweep(now)

    def next_deadline(self) -> Instant | None:
        """When the next set is to be looked at; None where no rule gives grace and nothing is remembered of any."""
        return self._next_sweep if self._open_at or any(rule.grace for rule in self._learner.plan.rules) else None

    def close(self) -> None:
        """Writes down what is known; the kernel keeps the pairs."""
        write_times(self._path, self._open_at, self._clock.now(), self._clock.wall())

    # --- what must go at once ---

    def withdraw(self, permissions: Iterable[tuple[str, bytes]]) -> None:
        """These owners may have nothing more of these learned sets: nor of the grace that came of it."""
        owners: dict[str, set[bytes]] = {}
        for learned, owner in permissions:
            owners.setdefault(learned, set()).add(owner)
        for each in (one for one in grace_sets(self._learner) if one.learned in owners):
            self._clear_owners(each, owners[each.learned])

    def forget(self, owners: frozenset[bytes]) -> None:
        """These addresses are nobody's any more, or somebody else's."""
        for each in grace_sets(self._learner):
            self._clear_owners(each, owners)

    def narrow(self, numbers: frozenset[int]) -> None:
        """These rules have lost patterns: an address stays if a remembered name of its endpoint is selected still."""
        for each in (one for one in grace_sets(self._learner) if one.number in numbers):
            self._clear_others(each, self._selected(each.number))

    # --- what is in force ---

    def pairs(self, rules: frozenset[int] | None = None) -> dict[bytes, float]:
        """Seconds left to each pair in grace, the longest where several rules give it; read from the kernel now.

        `rules` are numbers of the plan's; None is all.
        """
        left: dict[bytes, float] = {}
        for each in (one for one in grace_sets(self._learner) if rules is None or one.number in rules):
            for element in self._read(each):
                left[element.key] = max(left.get(element.key, 0.0), element.remaining_ms / 1000)
        return left

    # --- inside ---

    def _sweep(self, each: GraceSet, now: Instant) -> None:
        elements = self._read(each)
        if len(elements) >= self._learner.plan.snapshot.set_size:
            self._counters["grace-full"] += 1
            self._found_full.add(each.name)
        doomed: list[ElementKey] = []
        for element in elements:
            key = (each.name, element.key)
            reason = self._reason(each, element, now)
            if reason:
                self._counters[reason] += 1
                self._open_at.pop(key, None)
                doomed.append(key)
            else:
                self._seen.add(key)
        if doomed:
            self._delete(doomed)

    def _reason(self, each: GraceSet, element: Element, now: Instant) -> str:
        """Why the pair must go, as a counter; "" where it may stay."""
        learner, key = self._learner, (each.name, element.key)
        endpoint = learner.plan.endpoints.get(owner_of(key))
        if endpoint is None or each.number not in endpoint.rules:
            return "grace-withdrawn"
        if learner.plan.guard.judge(learned_part(element.key), allow_private=each.rule.allow_private) is not None:
            return "grace-guarded"
        if element.remaining_ms / 1000 > each.rule.grace + _SLACK_SECONDS:
            return "grace-shortened"
        if key not in self._open_at and len(self._open_at) >= MAX_PAIRS:
            return "cap-grace"
        is_open = (learner.elements.deadline((each.learned, element.key)) or 0) > now
        open_at = self._open_at[key] = now if is_open else self._open_at.get(key, now)
        return "grace-capped" if open_at + learner.plan.snapshot.grace_max_seconds <= now else ""

    def _end_sweep(self, now: Instant) -> None:
        self._open_at = {key: at for key, at in self._open_at.items() if key in self._seen}
        self._seen = set()
        self.full, self._found_full = frozenset(self._found_full), set()
        if self._open_at or self._path.exists():
            write_times(self._path, self._open_at, now, self._clock.wall())
        cap = self._learner.plan.snapshot.grace_max_seconds
        self._next_sweep = Instant(now + max(_LEAST_SWEEP_SECONDS, min(SWEEP_SECONDS, cap / 4)))

    def _clear_owners(self, each: GraceSet, owners: Collection[bytes]) -> None:
        self._clear(each, lambda key: owner_of(key) in owners)

    def _clear_others(self, each: GraceSet, selected: Collection[ElementKey]) -> None:
        self._clear(each, lambda key: key not in selected)

    def _clear(self, each: GraceSet, must_go: Callable[[ElementKey], bool]) -> None:
        for _ in range(_PASSES):
            doomed = [key for element in self._read(each) if must_go(key := (each.name, element.key))]
            if not doomed:
                return
            self._counters["grace-withdrawn"] += len(doomed)
            self._delete(doomed)
            for key in doomed:
                self._open_at.pop(key, None)

    def _read(self, each: GraceSet) -> Sequence[Element]:
        try:
            return self._reader.read(each.name)
        except NftError:
            return ()  # not there yet: the control process makes it

    def _selected(self, number: int) -> frozenset[ElementKey]:
        """The pairs that remembered names make in a rule's grace sets, whether their time is over or not."""
        plan = self._learner.plan
        users = {each.id: each for each in plan.endpoints.values() if number in each.rules}
        sharers = [(one, user) for user in users.values() for one in _told_by(user, users, plan.rules[number])]
        return frozenset(
            (plan.rules[number].grace6 if len(address) == 16 else plan.rules[number].grace4, source + address)
            for told, user in sharers
            for _, _, address, known in self._learner.names.entries(told)
            if any(number in plan.index.find(name) for name in known.chain)
            for source in user.addresses[len(address) == 16]
        )


def _told_by(user: EndpointPlan, users: Mapping[str, EndpointPlan], rule: RulePlan) -> Iterator[str]:
    """Whose names open addresses for the user: its own, or in node scope those of all that have the rule."""
    yield from users if rule.shared_by is not None else (user.id,)


# --- the file ---


def read_times(path: Path, now: Instant, wall: WallInstant) -> dict[ElementKey, Instant]:
    """What an earlier life has written down; nothing of what cannot be read, and nothing from the future."""
    found: dict[ElementKey, Instant] = {}
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines[:MAX_PAIRS]:
        with suppress(ValueError):
            name, key, at = line.split()
            found[name, bytes.fromhex(key)] = Instant(now - max(0.0, wall - float(at)))
    return found


def write_times(path: Path, times: Mapping[ElementKey, Instant], now: Instant, wall: WallInstant) -> None:
    """Replaces the file. Never raises: a full disk costs the next life the beginning of some caps."""
    scratch = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        scratch.write_text(
            "".join(f"{name} {key.hex()} {wall - (now - at):.3f}\n" for (name, key), at in times.items())
        )
        scratch.rename(path)
