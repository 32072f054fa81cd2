"""Turns what Log rules copied into records, and hands them to the file, the sinks and those who ask."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from dnsagent.link import LinkError
from nfq.errors import PacketError
from policy.rules import NodeState
from reconcile.clock import Clock
from tidegate.agent.packet_client import PacketClient
from tidegate.api.question import QuestionError
from tidegate.api.server import Document, Query
from tidegate.packetlog.book import LogBook
from tidegate.packetlog.fetcher import LogFetcher
from tidegate.packetlog.outlets import Outlets
from tidegate.packetlog.reader import LogSource, LogThread, Taken
from tidegate.packetlog.record import LogRecord, read_record
from tidegate.packetlog.rules import LogRules
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.loop import ApplyLoop

LOOK_SECONDS = 0.2
"""Between looks at what was read; a record is shown about so long after its packet."""
_PATIENCE_LOOKS = 25
"""Looks that packets of an unknown rule are kept for: five seconds, in which the reader's room does not fill up."""

_Known = Mapping[tuple[str, str], Sequence[str]]
"""Names by endpoint and address."""


@final
class LogKeeper:
    """Owns the reader, the book and the outlets. Without a reader (`logTransport: kernel`) it only says so."""

    def __init__(
        self,
        *,
        reader: LogSource | None,
        rules: LogRules,
        outlets: Outlets,
        loop: ApplyLoop,
        packets: PacketClient,
        conditions: Conditions,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._rules = rules
        self._outlets = outlets
        self._loop = loop
        self._packets = packets
        self._conditions = conditions
        self._clock = clock
        self._book = LogBook()
        self._learnt: NodeState | None = None
        """What the rules were read from."""
        self._records = 0
        self._unreadable = 0

    async def run(self) -> None:
        """Looks again and again until cancelled; then what was read is still written."""
        reader = self._reader
        if reader is None:
            return
        await asyncio.to_thread(reader.start)
        try:
            while True:
                await self._look(reader)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await asyncio.to_thread(self._finish, reader)

    async def _look(self, reader: LogSource) -> None:
        taken = await asyncio.to_thread(reader.take)
        self._learn()
        if taken:
            await self._wait_for_rules(taken)
            self._book.add(await asyncio.to_thread(self._written, taken))
        self._say(reader)

    async def _wait_for_rules(self, taken: Sequence[Taken]) -> None:
        """A rule copies as soon as the kernel has it, which is before the apply loop says that it is in force."""
        for _ in range(_PATIENCE_LOOKS):
            if self._loop.progress.is_settled or all(self._rules.is_known(_tag(item)) for item in taken):
                break
            await asyncio.sleep(LOOK_SECONDS)
        self._learn()

    def _learn(self) -> None:
        in_force = self._loop.progress.in_force
        if in_force is not self._learnt:
            self._learnt = in_force
            self._rules.learn(in_force)

    def _finish(self, reader: LogSource) -> None:
        reader.close()
        self._written(reader.take())
        self._outlets.close()

    # --- in a thread ---

    def _written(self, taken: Sequence[Taken]) -> list[Mapping[str, object]]:
        """The records as documents, when they are in the file."""
        known = self._names() if taken else {}
        documents = [_named(record, known).document() for record in self._read(taken)]
        self._records += len(documents)
        self._outlets.write(documents)
        return documents

    def _read(self, taken: Sequence[Taken]) -> list[LogRecord]:
        interfaces: dict[int | None, str] = {None: ""}
        records = []
        for item in taken:
            at, packet = item
            origin = packet.origin
            inside, outside = (_interface(index, interfaces) for index in (origin.in_index, origin.out_index))
            try:
                records.append(read_record(packet, self._rules.place(_tag(item), inside, outside), at))
            except PacketError:
                self._unreadable += 1
        return records

    def _names(self) -> _Known | None:
        try:
            found = list(self._packets.names())
        except LinkError:
            return None
        known = defaultdict(list)
        for item in found:
            known[str(item["endpoint"]), str(item["ip"])].append(str(item["name"]))
        return known

    # --- what is told ---

    def _say(self, reader: LogSource) -> None:
        outlets = self._outlets
        error = reader.error or outlets.file_error or outlets.sink_error or reader.gap
        condition = Condition(
            type=ConditionType.LOG_RECORDS,
            is_true=not error,
            reason=self._reason(reader),
            message=error,
        )
        self._conditions.put(condition, self._clock.wall())

    def _reason(self, reader: LogSource) -> str:
        if reader.error:
            return "NotRead"
        if self._outlets.file_error:
            return "NotWritten"
        if self._outlets.sink_error:
            return "NotSent"
        return "NotHeld" if reader.gap else "Recorded"

    @property
    def counters(self) -> Mapping[str, int]:
        """For status and metrics; nothing where the kernel's own log is used."""
        reader = self._reader
        if reader is None:
            return {}
        return {
            "log_records": self._records,
            "log_records_lost": reader.lost,
            "log_records_unreadable": self._unreadable + reader.malformed,
            **self._outlets.counters,
            **_held_counters(reader),
        }

    @property
    def queries(self) -> Mapping[str, Query]:
        """By the name in the path."""
        return {"logs": self._asked}

    async def _asked(self, parameters: Mapping[str, str]) -> Document:
        """The records behind number `after`, and what was lost."""
        text = parameters.get("after", "0")
        if not text.isdecimal() or len(text) > 18:
            raise QuestionError(f"cannot read {text!r}: after is the number of a record")
        transport = "kernel" if self._reader is None else "nflog" if isinstance(self._reader, LogThread) else "nfqueue"
        return {**self._book.page(int(text)), "transport": transport, **self.counters}


def _held_counters(reader: LogSource) -> Mapping[str, int]:
    """Of packets that wait for their records, where they do."""
    if not isinstance(reader, LogFetcher):
        return {}
    return {
        "log_packets_unread": reader.unread,
        "log_packets_dropped": reader.dropped,
        "log_packets_unseen": reader.unseen,
    }


def _tag(item: Taken) -> str:
    return item[1].origin.prefix.decode(errors="replace")


def _interface(index: int | None, known: dict[int | None, str]) -> str:
    if index not in known:
        try:
            known[index] = socket.if_indextoname(index or 0)
        except OSError:
            known[index] = ""  # it went with its workload
    return known[index]


def _named(record: LogRecord, known: _Known | None) -> LogRecord:
    if known is None:
        return replace(record, names=None)
    names = known.get((record.place.endpoint, record.far_end))
    return record if names is None else replace(record, names=tuple(sorted(set(names))))
