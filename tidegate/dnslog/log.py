"""The log of DNS: sightings in; records of intervals for the file and single exchanges for followers out.

Shell of the file; everything else is told. Used by one thread at a time.
"""

import json
from collections.abc import Iterable, Mapping
from typing import final

from dnsagent.tap import Sighting
from reconcile.instant import Instant, WallInstant
from tidegate.dnslog.exchange import Conversations, Exchange
from tidegate.dnslog.parties import Parties
from tidegate.dnslog.record import Interval, Options, live_document
from tidegate.packetlog.book import LogBook
from tidegate.packetlog.files import RotatedFile

BOOK_LIMIT = 5_000
"""Exchanges kept for `tidegate dns`, at about two kilobytes each."""


@final
class DnsLog:
    """Owns the interval, the book and the file; without a file, only the book."""

    def __init__(self, options: Options, file: RotatedFile | None, start: WallInstant) -> None:
        self.book = LogBook(BOOK_LIMIT)
        self.error = ""
        """Why the file lacks records; "" when it was written to the last time."""
        self.exchanges = self.records = self.unlogged = self.unwritten = 0
        self.conversations = Conversations()
        self._file = file
        self._interval = Interval(options, start)

    def take(self, sightings: Iterable[Sighting], parties: Parties, now: Instant, wall: WallInstant) -> None:
        """What was seen, in its order; `now` and `wall` are the same moment."""
        found = [exchange for each in sightings if (exchange := self.conversations.note(each)) is not None]
        found += self.conversations.expire(now)
        for exchange in found:
            self._add(exchange, parties, WallInstant(wall - max(0.0, now - exchange.at)))

    def flush(self, now: WallInstant) -> None:
        """Ends the interval, and writes its records."""
        records, unlogged = self._interval.end(now)
        self.unlogged += unlogged
        if self._file is None or not records:
            return
        self.records += len(records)
        try:
            self._file.write(_line(record) for record in records)
            self.error = ""
        except OSError as error:
            # How many of them are in the file nobody knows: those that may be missing are counted.
            self.unwritten += len(records)
            self.error = f"cannot write the DNS log: {error}"

    def close(self, now: WallInstant) -> None:
        """Writes what there is."""
        self.flush(now)
        if self._file is not None:
            self._file.close()

    def _add(self, exchange: Exchange, parties: Parties, at: WallInstant) -> None:
        self.exchanges += 1
        self.book.add([live_document(exchange, parties, at)])
        if self._file is not None:
            self._interval.add(exchange, parties)


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
