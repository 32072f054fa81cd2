"""Fetches what passed the packet process where somebody wants to know, and keeps the log of it (`tidegate.dnslog`)."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import final

import structlog

from dnsagent.link import LinkError
from dnsagent.tap import Sighting
from policy.resources.metadata import Resource, ResourceKey
from reconcile.clock import Clock
from reconcile.instant import Instant
from tidegate.agent.packet_client import PacketClient, SightingPage
from tidegate.agent.situation import Situation
from tidegate.api.question import QuestionError
from tidegate.api.server import Document, Query
from tidegate.config.settings import Settings
from tidegate.dnslog.exchange import read_sighting
from tidegate.dnslog.log import DnsLog
from tidegate.dnslog.parties import Parties
from tidegate.dnslog.record import Aggregation, Options
from tidegate.packetlog.files import RotatedFile
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.desired import Desired
from tidegate.sync.loop import ApplyLoop

LOOK_SECONDS = 0.2
"""Between looks at what passed."""
MAX_PAGES = 20
"""Of one look: the file is flushed and others are answered between looks."""
FOLLOWED_SECONDS = 10.0
"""Whoever has not asked for so long follows no more."""
FILE = "dns.log"


@final
class DnsKeeper:
    """Owns the log. Fetches nothing where no file is configured and nobody follows."""

    def __init__(
        self,
        *,
        situation: Situation,
        desired: Desired,
        loop: ApplyLoop,
        packets: PacketClient,
        conditions: Conditions,
        clock: Clock,
    ) -> None:
        settings = situation.settings
        self._node = situation.node
        self._desired = desired
        self._loop = loop
        self._packets = packets
        self._conditions = conditions
        self._clock = clock
        self._is_enabled = settings.dns_logs_file_enabled
        self._interval = settings.dns_logs_flush_interval_seconds
        self._log = DnsLog(_options(settings), _file(settings), clock.wall())
        self._next_flush = Instant(clock.now() + self._interval)
        self._followed_until = Instant(0.0)
        self._is_listening = False
        self._updates = 0
        self._about: tuple[object, ...] = ()
        """What `_parties` was made of."""
        self._parties = Parties((), {}, loop.progress.in_force)
        self._last = 0
        """The number of the latest sighting fetched."""
        self._lost = 0
        self._lost_before = 0
        """By the packet process that works now, and by those before it."""

    def on_update(self, key: ResourceKey, resource: Resource | None) -> None:  # noqa: ARG002 - any change is one
        """A document came, changed or went."""
        self._updates += 1

    async def run(self) -> None:
        """Looks again and again until cancelled; then what was seen is still written."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await asyncio.to_thread(self._finish)

    async def _look(self) -> None:
        if self._is_enabled or self._clock.now() < self._followed_until:
            self._is_listening = True
            self._renew_parties()
            await asyncio.to_thread(self._fetch)
        elif self._is_listening:
            self._is_listening = False
            await asyncio.to_thread(self._end)
        if self._is_enabled and self._clock.now() >= self._next_flush:
            self._next_flush = Instant(self._clock.now() + self._interval)
            await asyncio.to_thread(self._log.flush, self._clock.wall())
        if self._is_enabled:
            self._say()

    def _renew_parties(self) -> None:
        links, state = self._desired.links.addresses, self._loop.progress.in_force
        about = (self._updates, links, state)
        if about != self._about:
            self._about = about
            self._parties = Parties(tuple(self._desired.resources.values()), {self._node: links}, state)

    # --- in a thread ---

    def _fetch(self) -> None:
        for _ in range(MAX_PAGES):
            page = self._fetch_page()
            if page is None or not page.has_more:
                return

    def _fetch_page(self) -> SightingPage | None:
        try:
            page = self._packets.sightings(self._last)
        except LinkError:
            return None  # its own condition says so
        self._note_losses(page)
        self._last = page.last
        self._log.take(_read(page), self._parties, self._clock.now(), self._clock.wall())
        return page

    def _end(self) -> None:
        with contextlib.suppress(LinkError):  # then it ends by itself
            self._packets.end_sightings()

    def _finish(self) -> None:
        """What passes from now on waits for who comes next; what was fetched must be confirmed, or it has it again."""
        if not self._is_enabled:
            if self._is_listening:
                self._end()
        elif self._packets.is_alive:
            for _ in range(MAX_PAGES):
                page = self._fetch_page()
                if page is None or not page.sightings:
                    break
        self._log.close(self._clock.wall())

    def _note_losses(self, page: SightingPage) -> None:
        if page.lost < self._lost:  # another packet process counts from zero
            self._lost_before += self._lost
        self._lost = page.lost

    # --- what is told ---

    def _say(self) -> None:
        error = self._log.error
        condition = Condition(
            type=ConditionType.DNS_LOGS,
            is_true=not error,
            reason="NotWritten" if error else "Recorded",
            message=error,
        )
        self._conditions.put(condition, self._clock.wall())

    @property
    def counters(self) -> Mapping[str, int]:
        """For status and metrics."""
        log = self._log
        return {
            "dns_log_exchanges": log.exchanges,
            "dns_log_records": log.records,
            "dns_log_unlogged": log.unlogged,
            "dns_log_records_unwritten": log.unwritten,
            "dns_log_sightings_lost": self._lost_before + self._lost,
            "dns_log_questions_forgotten": log.conversations.forgotten,
            "dns_log_messages_unreadable": log.conversations.unreadable,
        }

    @property
    def queries(self) -> Mapping[str, Query]:
        """By the name in the path."""
        return {"dns": self._asked}

    async def _asked(self, parameters: Mapping[str, str]) -> Document:
        """The exchanges behind number `after`, and what was lost. Without a file there are some only while one asks.

        `after=now` gives the latest number alone: whoever follows begins behind it.
        """
        text = parameters.get("after", "0")
        if text != "now" and (not text.isdecimal() or len(text) > 18):
            raise QuestionError(f"cannot read {text!r}: after is the number of an exchange, or the word now")
        is_new = not self._is_enabled and self._clock.now() >= self._followed_until
        self._followed_until = Instant(self._clock.now() + FOLLOWED_SECONDS)
        if is_new:
            # Whoever asks next has it from now on, not from the next look on.
            self._renew_parties()
            await asyncio.to_thread(self._begin)
        found = self._log.book.page((1 << 62) if text == "now" else int(text))
        if text == "now":
            found = {**found, "records": [], "next": found["last"], "missed": 0}
        return {**found, "enabled": self._is_enabled, **self.counters}

    def _begin(self) -> None:
        """Has the packet process listen."""
        try:
            self._packets.sightings(self._last)
        except LinkError as error:
            structlog.get_logger().warning("DNS is not followed yet", reason=str(error))


def _read(page: SightingPage) -> list[Sighting]:
    return [read_sighting(each) for each in page.sightings]


def _options(settings: Settings) -> Options:
    return Options(
        aggregation=Aggregation(settings.dns_logs_file_aggregation_kind),
        has_labels=settings.dns_logs_file_include_labels,
        has_latency=settings.dns_logs_latency,
        limit=settings.dns_logs_file_per_node_limit,
    )


def _file(settings: Settings) -> RotatedFile | None:
    if not settings.dns_logs_file_enabled:
        return None
    size, count = settings.dns_logs_file_max_file_size_mb * 1_000_000, settings.dns_logs_file_max_files
    return RotatedFile(settings.dns_logs_file_directory / FILE, size, count)
