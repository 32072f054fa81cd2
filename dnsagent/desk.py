"""Answers the control process: what the packet process knows, and what it shall do. Requests and replies are JSON."""

import os
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from heapq import nlargest
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any

from dnsagent.cache import Known
from dnsagent.element_table import ElementKey, owner_of
from dnsagent.forward.proxy import Proxy
from dnsagent.grace import GraceKeeper
from dnsagent.intercept import Interceptor
from dnsagent.kernel_sets import CHUNK
from dnsagent.learn import Element
from dnsagent.link import Document
from dnsagent.match import labels_of
from dnsagent.outdated import outdated
from dnsagent.packet_loop import PacketLoop
from dnsagent.plan import Plan, RulePlan, make_plan
from dnsagent.plan_change import PlanChange, is_same_policy, plan_change
from dnsagent.snapshot import Snapshot
from dnsagent.snapshot_file import read_snapshot
from dnsagent.tap import Sighting
from policy.domains import DomainName
from policy.errors import PolicyError
from reconcile.instant import Instant

PAGE = 100
"""Names in a reply: a millisecond's work, so that no answer waits longer for it."""
TOP = 20
"""Endpoints with the most addresses, of which metrics tell one by one."""
SIGHTINGS = 200
"""Questions and answers in a reply: a millisecond's work, too."""


class Desk:
    """Handles requests inside the loop; each is bounded work but for `load`, which is a policy change."""

    def __init__(
        self,
        loop: PacketLoop,
        version: str,
        interceptor: Interceptor | None = None,
        proxy: Proxy | None = None,
        grace: GraceKeeper | None = None,
    ) -> None:
        self._loop = loop
        self._version = version
        self._interceptor = interceptor
        self._proxy = proxy
        self._grace = grace
        self.successor: tuple[str, ...] = ()
        """The program that shall take this process over when the loop has ended; empty is none."""
        self._refused: int | None = None
        """Refusals of the kernel up to the last load; None before the first."""
        self._commands: dict[str, Callable[[Document, dict[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "tally": self._tally,
            "load": self._load,
            "names": self._names,
            "explain": self._explain,
            "forget": self._forget,
            "restore": self._restore,
            "stop": self._stop,
            "succeed": self._succeed,
            "sightings": self._sightings,
            "end-sightings": self._end_sightings,
            "logged": loop.logged.page,
        }

    def handle(self, request: Document, memory: dict[str, Any]) -> Document:
        """The reply to a request.

        Raises:
            ValueError, KeyError, TypeError: the request makes no sense.
        """
        command = self._commands[request["command"]]
        try:
            return {"ok": True, **command(request, memory)}
        except PolicyError as error:
            raise ValueError(str(error)) from error

    def _status(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        del request, memory
        loop, learner = self._loop, self._loop.learner
        return {
            "pid": os.getpid(),
            "version": self._version,
            "generation": learner.plan.snapshot.generation,
            "mode": learner.plan.snapshot.mode.value,
            "counters": dict(learner.counters) | self._bound_counters() | self._reader_counters(),
            "elements": len(learner.elements),
            "names": len(learner.names),
            "pending_queries": len(learner.queries),
            "held_denied": len(loop.denied),
            "health": self._health(),
            "tunnels": [] if self._proxy is None else self._proxy.tunnel_report(loop.clock.now()),
            "forwarder": None if self._proxy is None else self._proxy.state,
            "grace": None if self._grace is None else {"pairs": len(self._grace), "full": sorted(self._grace.full)},
            "left_out": learner.places.left_out.recent(loop.clock.now()),
            "dns": self._dns(),
            "tcp_connections": 0 if self._interceptor is None else len(self._interceptor),
        }

    def _dns(self) -> dict[str, Any]:
        """What metrics tell of DNS: bounded by the number of servers and `TOP`, whatever is asked."""
        learner, seconds = self._loop.learner, self._loop.answer_seconds
        largest = nlargest(TOP, learner.names.sizes(), key=lambda each: each[2])
        return {
            "answers": [
                [str(ip_address(server)), port, rcode, count]
                for (server, port, rcode), count in learner.answered.items()
            ],
            "answer_seconds": {
                "buckets": seconds.cumulative(),
                "count": sum(seconds.counts),
                "sum": seconds.sum,
            },
            "pending_queries": len(learner.queries),
            "endpoints": [list(each) for each in largest],
        }

    def _health(self) -> list[dict[str, Any]]:
        loop = self._loop
        health: list[dict[str, Any]] = [
            {"healthy": condition.is_healthy, "reason": condition.reason, "since": condition.since}
            for condition in (reader.condition() for reader in loop.readers.all())
        ]
        services = (each for each in (self._interceptor, self._proxy) if each is not None and each.trouble)
        health += [{"healthy": False, "reason": each.trouble, "since": loop.clock.now()} for each in services]
        return health

    def _tally(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """How many transactions it made, and the generation of that moment; asked so often that it must cost little."""
        del request, memory
        tally = self._loop.sets.tally()
        return {"generation": tally.generation, "commits": tally.own}

    def _bound_counters(self) -> dict[str, int]:
        """What was dropped where a collection was full."""
        learner, journal = self._loop.learner, self._loop.journal
        return {
            "forgotten-queries": learner.queries.forgotten,
            "sightings-lost": learner.tap.lost,
            "forgotten-aliases": learner.aliases.forgotten,
            "forgotten-names": learner.names.forgotten_names,
            "forgotten-addresses": learner.names.forgotten_addresses,
            "journal-failures": journal.failures,
            "journal-too-long": journal.too_long,
        }

    def _reader_counters(self) -> dict[str, int]:
        readers = self._loop.readers
        named = {"answers": readers.answers, "denied": readers.denied, "named": readers.named, "log": readers.log}
        logs = {"logged": readers.logged, "copies": readers.copies}
        counters = {name: reader.counters for name, reader in (named | logs).items() if reader is not None}
        return {
            f"{name}-{field.replace('_', '-')}": getattr(values, field)
            for name, values in counters.items()
            for field in (each.name for each in fields(values))
        }

    def _load(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """Takes the snapshot in the file; what earlier answers open under it is in the kernel when this returns."""
        del memory
        snapshot = read_snapshot(Path(request["path"]))
        loop, now, before = self._loop, self._loop.clock.now(), self._loop.learner.plan
        is_whole = self._has_everything_in_kernel()
        if _gives_room(before.snapshot, snapshot):
            loop.learner.places.left_out.forget()
            is_whole = False  # what found no place before may find one now
        if is_whole and is_same_policy(before.snapshot, snapshot):
            loop.learner.plan = replace(before, snapshot=snapshot)
            return {"generation": snapshot.generation}
        plan = make_plan(snapshot, before)
        change = plan_change(before, plan)
        loop.journal.forget(_ended(before, plan), loop.clock.wall())
        loop.learner.adopt(plan)
        loop.named.prepare()
        if change.takes_away:
            self._withdraw(change, now)
        for elements in loop.learner.back_fill(now, change.fresh if is_whole else None):
            self._write(elements, now)
            loop.breathe()
        for keys in outdated(loop.learner, change.narrowed, now) if change.narrowed else ():
            self._close(keys, now)
            loop.breathe()
        if self._grace is not None and change.narrowed:
            self._grace.narrow(change.narrowed)
        if self._interceptor is not None:
            self._interceptor.adopt(plan.snapshot, now)
        if self._proxy is not None:
            self._proxy.adopt(plan.snapshot, now, loop.breathe)
        return {"generation": plan.snapshot.generation}

    def _has_everything_in_kernel(self) -> bool:
        """Whether no element was refused since the last load: at the start of a machine the sets come after us."""
        refused, self._refused = self._refused, self._loop.learner.counters["program-failed"]
        return refused == self._refused

    def _withdraw(self, change: PlanChange, now: Instant) -> None:
        """Closes what may no longer be open; where an address has a new owner, before that one is told anything."""
        table, loop = self._loop.learner.elements, self._loop
        for keys in table.withdrawn(change.withdrawn, change.dead_sets):
            self._close([key for key in keys if key[0] not in change.dead_sets], now)
            for key in keys:
                table.drop(key)
            if not change.moved:
                loop.breathe()
        if self._grace is not None:
            self._grace.withdraw(change.withdrawn)

    def _restore(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """The named sets were created anew, empty: their elements go back with the time left to them."""
        del memory
        learner, now = self._loop.learner, self._loop.clock.now()
        sets = frozenset(request["sets"])
        lost = [
            Element(key, deadline, is_present=False)
            for key, deadline in learner.elements.items()
            if key[0] in sets and deadline > now
        ]
        for element in lost:
            learner.elements.drop(element.key)
        restored = 0
        for start in range(0, len(lost), CHUNK):
            # An answer between two pieces may have written some of them already, and longer.
            piece = lost[start : start + CHUNK]
            restored += self._write([each for each in piece if learner.elements.deadline(each.key) is None], now)
            self._loop.breathe()
        return {"restored": restored}

    def _write(self, elements: list[Element], now: Instant) -> int:
        written = self._loop.sets.restore(elements, now)
        self._loop.learner.commit(written)
        self._loop.learner.places.note_full(self._loop.sets.take_full(), now)
        self._loop.denied.release(written)
        return len(written)

    def _close(self, keys: list[ElementKey], now: Instant) -> None:
        """Takes elements out of the kernel, and out of what is known to be there."""
        elements = self._loop.learner.elements
        self._loop.sets.delete(key for key in keys if (elements.deadline(key) or 0) > now)
        for key in keys:
            elements.drop(key)

    def _forget(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """Endpoints that are gone: nothing that they learned may be found by who gets their addresses."""
        del memory
        learner = self._loop.learner
        addresses = frozenset(ip_address(text).packed for text in request["addresses"])
        self._loop.journal.forget(addresses, self._loop.clock.wall())
        keys = learner.forget_addresses(addresses)
        self._close(keys, self._loop.clock.now())
        if self._grace is not None:
            self._grace.forget(addresses)
        return {"deleted": len(keys)}

    def _stop(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        del request, memory
        self._loop.stop()
        return {}

    def _succeed(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """Another program takes this process over, and its sockets as they are: what comes meanwhile waits in them."""
        del memory
        program, *arguments = map(str, request["program"])
        if not os.access(program, os.X_OK):
            raise ValueError(f"cannot run {program}")
        self.successor = (program, *arguments)
        self._loop.stop(keeps_sockets=True)
        return {"pid": os.getpid()}

    # --- what passes ---

    def _sightings(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """A page of questions and answers behind the number `after`, which confirms those up to it. See `tap`."""
        del memory
        tap = self._loop.learner.tap
        found, last = tap.fetch(int(request["after"]), SIGHTINGS, self._loop.clock.now())
        return {
            "sightings": [shown(each) for each in found],
            "last": last,
            "lost": tap.lost,
            "more": len(found) == SIGHTINGS,
        }

    def _end_sightings(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """Nobody wants to know of what passes."""
        del request, memory
        self._loop.learner.tap.end()
        return {}

    # --- names ---

    def _names(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """A page of what is open by name; the first request begins, later ones ask for `next`."""
        if not request.get("next"):
            memory["names"] = self._listed(
                request.get("endpoint"), self._loop.clock.now(), past=bool(request.get("past"))
            )
        steps: Iterator[dict[str, Any] | None] = memory["names"]
        page = [entry for _, entry in zip(range(PAGE), steps, strict=False)]
        return {"names": [entry for entry in page if entry is not None], "more": len(page) == PAGE}

    def _listed(self, endpoint_id: str | None, now: Instant, *, past: bool) -> Iterator[dict[str, Any] | None]:
        """Everything told and still open, then what is open without a name; None for each that is neither.

        With `past`, everything told that is remembered: what names have opened, whether they do so still or not.
        """
        learner = self._loop.learner
        graced = {} if self._grace is None or past else self._grace.pairs()
        known: set[tuple[bytes, bytes]] = set()
        endpoints = {endpoint.id: endpoint for endpoint in learner.plan.endpoints.values()}
        for owner, name, address, told in learner.names.entries(endpoint_id):
            sources = endpoints[owner].addresses[len(address) == 16] if owner in endpoints else ()
            known.update((source, address) for source in sources)
            is_open = any(learner.is_open(source, address, now) for source in sources)
            if past:
                yield self._entry(owner, name, address, told, now) | {"rules": self._openers(told, address)}
            elif is_open:
                yield self._entry(owner, name, address, told, now)
            else:
                yield self._in_grace(self._entry(owner, name, address, told, now), sources, address, graced)
        for key in learner.elements.all_keys():
            source = owner_of(key)
            pair = (source, key[1][len(source) :])
            yield None if pair in known else self._orphan(key, endpoint_id, now)
            known.add(pair)

    def _in_grace(
        self, entry: dict[str, Any], sources: Iterable[bytes], address: bytes, graced: Mapping[bytes, float]
    ) -> dict[str, Any] | None:
        """The entry of an address whose time is over, with the time of its grace; None where it has none."""
        left = max((graced.get(source + address, 0.0) for source in sources), default=0.0)
        return entry | {"expires_in_seconds": round(left, 3), "grace": True} if left > 0 else None

    def _orphan(self, key: ElementKey, endpoint_id: str | None, now: Instant) -> dict[str, Any] | None:
        """An element of which no name is known: its answer was of an earlier life, and the journal has lost it."""
        learner = self._loop.learner
        source, deadline = owner_of(key), learner.elements.deadline(key)
        endpoint = learner.plan.endpoints.get(source)
        if deadline is None or deadline <= now or endpoint is None or endpoint_id not in (None, endpoint.id):
            return None
        return {
            "endpoint": endpoint.id,
            "name": "",
            "ip": str(ip_address(key[1][len(source) :])),
            "orphan": True,
            "expires_in_seconds": round(deadline - now, 3),
        }

    def _entry(self, owner: str, name: bytes, address: bytes, told: Known, now: Instant) -> dict[str, Any]:
        rules = self._rules_of(told)
        lifetimes = [told.learned_at + rule.lifetime(told.ttl) - now for rule in rules]
        return {
            "endpoint": owner,
            "name": text_of(name),
            "ip": str(ip_address(address)),
            "ttl_seconds": told.ttl,
            "learned_seconds_ago": round(now - told.learned_at, 3),
            "expires_in_seconds": round(max(lifetimes, default=0.0), 3),
            "server": str(ip_address(told.server)),
            "chain": [text_of(each) for each in told.chain],
            "rules": [rule.id for rule in rules],
        }

    def _is_open(self, owner: str, address: bytes, told: Known, now: Instant) -> bool:
        """Whether the kernel has the address for the endpoint under a rule of the name: at a bound it has not."""
        learner, is_six = self._loop.learner, len(address) == 16
        endpoint = learner.plan.endpoints_by_id.get(owner)
        sources = () if endpoint is None else endpoint.addresses[is_six]
        return any(
            (learner.elements.deadline((rule.set6 if is_six else rule.set4, source + address)) or 0) > now
            for rule in self._rules_of(told)
            for source in sources
        )

    def _rules_of(self, told: Known) -> list[RulePlan]:
        plan = self._loop.learner.plan
        numbers = frozenset[int]().union(*(plan.index.find(name) for name in told.chain))
        return [plan.rules[number] for number in sorted(numbers)]

    def _openers(self, told: Known, address: bytes) -> list[str]:
        """The rules that select one of the names, without those that may not open such an address."""
        guard = self._loop.learner.plan.guard
        return [
            rule.id for rule in self._rules_of(told) if guard.judge(address, allow_private=rule.allow_private) is None
        ]

    def _explain(self, request: Document, memory: dict[str, Any]) -> dict[str, Any]:
        """Everything known about an address (or a name) from an endpoint's point of view."""
        del memory
        learner, now = self._loop.learner, self._loop.clock.now()
        endpoint_id = request["endpoint"]
        wanted = ip_address(request["address"]).packed if "address" in request else None
        name = (
            b"".join(_wire(label) for label in DomainName.parse(request["name"]).labels) if "name" in request else None
        )
        endpoint = learner.plan.endpoints_by_id.get(endpoint_id)
        sources = [] if endpoint is None else [each for family in endpoint.addresses for each in family]
        graced = {} if self._grace is None or endpoint is None else self._grace.pairs(endpoint.rules)
        told = [
            {
                **self._entry(owner, n, a, t, now),
                "own": owner == endpoint_id,
                "is_open": self._is_open(owner, a, t, now),
                "grace_seconds": max((graced.get(each + a, 0.0) for each in sources), default=0.0)
                if owner == endpoint_id
                else 0.0,
            }
            for owner, n, a, t in islice(learner.names.find(name, wanted), PAGE)
        ]
        refusal = None if wanted is None else learner.refusals.find(endpoint_id, wanted, now)
        is_open = (
            endpoint is not None
            and wanted is not None
            and any(learner.is_open(source, wanted, now) for source in endpoint.addresses[len(wanted) == 16])
        )
        return {
            "is_open": is_open,
            "has_domain_rules": endpoint is not None,
            "told": told,
            "refused": [
                {"ip": str(ip_address(address)), "reason": reason}
                for address, reason in ([] if name is None else learner.refusals.of_name(endpoint_id, name, now)[:PAGE])
            ],
            "refusal": None if refusal is None else {"reason": refusal[0], "name": text_of(refusal[1])},
        }


def _gives_room(before: Snapshot, after: Snapshot) -> bool:
    """Whether a bound of learned elements has become wider."""
    return (
        after.max_elements_per_endpoint > before.max_elements_per_endpoint
        or after.max_elements > before.max_elements
        or after.set_size > before.set_size
    )


def _ended(before: Plan, after: Plan) -> list[bytes]:
    """Addresses that are no longer the same endpoint's."""
    return [
        address
        for address, endpoint in before.endpoints.items()
        if address not in after.endpoints or after.endpoints[address].id != endpoint.id
    ]


def shown(sighting: Sighting) -> list[Any]:
    """As `tidegate.dnslog.sighting` reads it: bytes in base 16 and 64, which are the quickest to write."""
    opened = sighting.opened
    return [
        sighting.kind,
        sighting.at,
        sighting.client.hex(),
        sighting.client_port,
        sighting.server.hex(),
        sighting.server_port,
        b2a_base64(sighting.payload, newline=False).decode("ascii"),
        sighting.is_stream,
        sighting.reason,
        [] if opened is None else list(opened.rules),
        {} if opened is None else {address.hex(): seconds for address, seconds in opened.lifetimes.items()},
    ]


def text_of(name: bytes) -> str:
    """A wire key as people write names, dots inside labels escaped."""
    return str(DomainName.of(labels_of(name)))


def _wire(label: bytes) -> bytes:
    return bytes((len(label),)) + label
