"""Flow records at rest: an SQLite file with an end. The one door to sqlite3.

One thread writes, others read beside it (write-ahead log). Records have numbers that only rise, those of losses among
them: who follows asks for what stands behind the last number. The oldest go when they are too old or the file is full.
A file that is none, or of another version, is put aside: records are told of, nobody's policy depends on them.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

from reconcile.instant import WallInstant
from tidegate.flows.question import FlowQuestion, conditions
from tidegate.flows.record import (
    FlowParty,
    FlowRecord,
    Level,
    PartyKind,
    Reporter,
    Trace,
    loss_document,
)
from tidegate.flows.table import NO_LOSS, Loss

_VERSION: Final = 1
_CACHE_KIB: Final = 16_384
_PARTS: Final = 20
"""Of a full file, of which the oldest goes."""
_SCHEMA: Final = """
CREATE TABLE traces (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE flows (
  id INTEGER PRIMARY KEY, started_at REAL NOT NULL, ended_at REAL NOT NULL, reporter TEXT NOT NULL,
  allowed INTEGER NOT NULL, protocol INTEGER NOT NULL,
  source_kind TEXT NOT NULL, source_namespace TEXT NOT NULL, source_name TEXT NOT NULL, source_aggr TEXT NOT NULL,
  source_address TEXT NOT NULL, source_port INTEGER,
  destination_kind TEXT NOT NULL, destination_namespace TEXT NOT NULL, destination_name TEXT NOT NULL,
  destination_aggr TEXT NOT NULL, destination_address TEXT NOT NULL, destination_port INTEGER,
  service TEXT NOT NULL, domains TEXT NOT NULL,
  packets_in INTEGER NOT NULL, bytes_in INTEGER NOT NULL, packets_out INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
  flows INTEGER NOT NULL, started INTEGER NOT NULL, completed INTEGER NOT NULL, trace INTEGER NOT NULL);
CREATE TABLE losses (id INTEGER PRIMARY KEY, from_at REAL NOT NULL, to_at REAL NOT NULL, overruns INTEGER NOT NULL,
  copies INTEGER NOT NULL, totals INTEGER NOT NULL, windows INTEGER NOT NULL, unjudged INTEGER NOT NULL);
CREATE INDEX by_time ON flows (ended_at);
CREATE INDEX by_source ON flows (source_namespace, source_name);
CREATE INDEX by_source_name ON flows (source_name);
CREATE INDEX by_destination ON flows (destination_namespace, destination_name);
CREATE INDEX by_destination_name ON flows (destination_name);
CREATE INDEX by_source_address ON flows (source_address);
CREATE INDEX by_destination_address ON flows (destination_address);
CREATE INDEX by_port ON flows (destination_port);
CREATE INDEX denied ON flows (allowed) WHERE allowed = 0;
CREATE INDEX by_trace ON flows (trace);
"""
_COLUMNS: Final = (
    "id, started_at, ended_at, reporter, allowed, protocol, source_kind, source_namespace, source_name, source_aggr, "
    "source_address, source_port, destination_kind, destination_namespace, destination_name, destination_aggr, "
    "destination_address, destination_port, service, domains, packets_in, bytes_in, packets_out, bytes_out, flows, "
    "started, completed, trace"
)
_INSERT: Final = f"INSERT INTO flows ({_COLUMNS}) VALUES ({', '.join('?' * 28)})"  # noqa: S608 - constants
_SUMS: Final = (
    "max(id), min(started_at), max(ended_at), reporter, allowed, protocol, source_kind, source_namespace, {source}, "
    "source_aggr, {source_address}, {source_port}, destination_kind, destination_namespace, {destination}, "
    "destination_aggr, {destination_address}, {port}, service, domains, sum(packets_in), sum(bytes_in), "
    "sum(packets_out), sum(bytes_out), sum(flows), sum(started), sum(completed), trace"
)
_GROUP: Final = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 28"


class StoreError(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much is kept."""

    seconds: float
    max_bytes: int


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"cannot use the store of flows: {error}") from error


@final
class FlowStore:
    """The writer. Belongs to the thread that made it, or to one at a time."""

    def __init__(self, path: Path, retention: Retention) -> None:
        """Opens the file, or makes it.

        Raises:
            StoreError: the directory cannot be written.
        """
        self._retention = retention
        with _errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._opened(path)
            found = self._db.execute(
                "SELECT max(id) FROM (SELECT max(id) id FROM flows UNION SELECT max(id) FROM losses)"
            )
            self._last = found.fetchone()[0] or 0
        self._traces: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, records: Sequence[FlowRecord], loss: Loss, from_at: WallInstant, to_at: WallInstant) -> None:
        """Writes a window: all of it or nothing.

        Raises:
            StoreError: the disk is full, or the like.
        """
        with _errors(), self._db:
            rows = [self._row(record, self._last + 1 + index) for index, record in enumerate(records)]
            self._db.executemany(_INSERT, rows)
            last = self._last + len(rows)
            if loss != NO_LOSS:
                last += 1
                row = (last, from_at, to_at, loss.overruns, loss.copies, loss.totals, loss.windows, loss.unjudged)
                self._db.execute("INSERT INTO losses VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._last = last

    def retain(self, now: WallInstant) -> int:
        """Deletes what is too old, and the oldest where the file is full; how many.

        Raises:
            StoreError: as `append`.
        """
        deleted = 0
        with _errors():
            with self._db:
                old = now - self._retention.seconds
                # The last one stays: the next run's numbers go on behind it.
                gone = "DELETE FROM flows WHERE ended_at < ? AND id < ?"
                deleted += self._db.execute(gone, (old, self._last)).rowcount
                self._db.execute("DELETE FROM losses WHERE to_at < ? AND id < ?", (old, self._last))
            while self.used_bytes() > self._retention.max_bytes and (freed := self._delete_oldest()):
                deleted += freed
            if deleted:
                with self._db:
                    unused = "SELECT id FROM traces WHERE NOT EXISTS (SELECT 1 FROM flows WHERE trace = traces.id)"
                    self._db.execute(f"DELETE FROM traces WHERE id IN ({unused})")  # noqa: S608 - a constant
                self._traces.clear()
        return deleted

    def used_bytes(self) -> int:
        """Of the file, without what deleted records left behind for later ones.

        Raises:
            StoreError: as `append`.
        """
        with _errors():
            pages, free, size = map(self._pragma, ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def close(self) -> None:
        """Ends it. Safe to call twice."""
        self._db.close()

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _delete_oldest(self) -> int:
        with self._db:
            first = self._db.execute("SELECT min(id) FROM flows").fetchone()[0] or self._last
            until = min(self._last, first + 1 + (self._last - first) // _PARTS)
            count = self._db.execute("DELETE FROM flows WHERE id < ?", (until,)).rowcount
            self._db.execute("DELETE FROM losses WHERE id < coalesce((SELECT min(id) FROM flows), 1 << 62)")
        return count

    def _row(self, record: FlowRecord, number: int) -> tuple[object, ...]:
        return (
            number,
            record.started_at,
            record.ended_at,
            record.reporter.value,
            int(record.is_allowed),
            record.protocol,
            *_party_columns(record.source),
            record.source_port,
            *_party_columns(record.destination),
            record.destination_port,
            record.service,
            " ".join(record.domains),
            record.packets_in,
            record.bytes_in,
            record.packets_out,
            record.bytes_out,
            record.flows,
            record.started,
            record.completed,
            self._trace(record.trace),
        )

    def _trace(self, trace: Trace) -> int:
        """Its number; a trace stands in the file once, however many records have it."""
        text = json.dumps(
            [trace.enforced, trace.pending, trace.enforced_hits, trace.pending_hits, trace.agrees], sort_keys=True
        )
        known = self._traces.get(text)
        if known is None:
            self._db.execute("INSERT OR IGNORE INTO traces (text) VALUES (?)", (text,))
            known = int(self._db.execute("SELECT id FROM traces WHERE text = ?", (text,)).fetchone()[0])
            if len(self._traces) > 10_000:
                self._traces.clear()
            self._traces[text] = known
        return known

    def _opened(self, path: Path) -> sqlite3.Connection:
        try:
            return _prepared(path)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").rename(f"{path}.unreadable{suffix}")
            return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        _make_tables(db)
    except BaseException:
        db.close()
        raise
    return db


def _make_tables(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it is of version {version}")
    if version == 0:
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def _party_columns(party: FlowParty) -> tuple[str, str, str, str, str]:
    return party.kind.value, party.namespace, party.name, party.name_aggr, party.address


def ask(path: Path, question: FlowQuestion) -> list[dict[str, object]]:
    """The records that are asked for, as JSON has them, the oldest first; losses among them where nothing is filtered.

    Opens the file for itself, so it may be called from any thread.

    Raises:
        StoreError: the file cannot be read.
    """
    if not path.exists():
        return []  # nothing was written yet
    with _errors():
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        with contextlib.closing(db):
            return _answers(db, question)


def _answers(db: sqlite3.Connection, question: FlowQuestion) -> list[dict[str, object]]:
    where, values = conditions(question)
    order = "id" if question.after is not None else "id DESC"
    if question.level is None:
        statement = f"SELECT {_COLUMNS} FROM flows WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608 - parameters
    else:
        order = order.replace("id", "1")
        summed = _summed(question.level)
        statement = f"SELECT {summed} FROM flows WHERE {where} GROUP BY {_GROUP} ORDER BY {order} LIMIT ?"  # noqa: S608
    rows = db.execute(statement, (*values, question.limit)).fetchall()
    traces = _traces(db, {row[27] for row in rows})
    found = [_record(row, traces[row[27]]).document(row[0]) for row in rows]
    found += _losses(db, question, found)
    return sorted(found, key=lambda item: int(str(item["id"])))


def _summed(level: Level) -> str:
    is_by_prefix, is_by_port = level >= Level.PREFIX, level < Level.DESTINATION_PORT
    return _SUMS.format(
        source="source_aggr" if is_by_prefix else "source_name",
        source_address="''" if is_by_prefix else "source_address",
        source_port="NULL" if level >= Level.SOURCE_PORT else "source_port",
        destination="destination_aggr" if is_by_prefix else "destination_name",
        destination_address="''" if is_by_prefix else "destination_address",
        port="destination_port" if is_by_port else "NULL",
    )


def _traces(db: sqlite3.Connection, numbers: set[int]) -> Mapping[int, Trace]:
    found = {}
    for number in numbers:
        [text] = db.execute("SELECT text FROM traces WHERE id = ?", (number,)).fetchone()
        enforced, pending, enforced_hits, pending_hits, agrees = json.loads(text)
        found[number] = Trace(
            enforced=tuple(enforced),
            pending=tuple(pending),
            enforced_hits=tuple(enforced_hits),
            pending_hits=tuple(pending_hits),
            agrees=agrees,
        )
    return found


def _record(row: Sequence[Any], trace: Trace) -> FlowRecord:
    return FlowRecord(
        started_at=WallInstant(row[1]),
        ended_at=WallInstant(row[2]),
        reporter=Reporter(row[3]),
        is_allowed=bool(row[4]),
        protocol=row[5],
        source=FlowParty(PartyKind(row[6]), *row[7:11]),
        source_port=row[11],
        destination=FlowParty(PartyKind(row[12]), *row[13:17]),
        destination_port=row[17],
        service=row[18],
        domains=tuple(row[19].split()),
        packets_in=row[20],
        bytes_in=row[21],
        packets_out=row[22],
        bytes_out=row[23],
        flows=row[24],
        started=row[25],
        completed=row[26],
        trace=trace,
    )


def _losses(
    db: sqlite3.Connection, question: FlowQuestion, found: Sequence[Mapping[str, object]]
) -> list[dict[str, object]]:
    """Those of the same part of the stream: whatever is asked for may be among what is missing."""
    since = question.since or 0.0
    after = question.after if question.after is not None else -1
    last = int(str(found[-1]["id"])) if question.after is not None and len(found) >= question.limit else 1 << 62
    rows = db.execute(
        "SELECT * FROM losses WHERE id > ? AND id <= ? AND to_at >= ? AND to_at <= ? ORDER BY id DESC LIMIT ?",
        (after, last, since, question.until or 1e12, question.limit),
    )
    return [loss_document(row[0], WallInstant(row[1]), WallInstant(row[2]), Loss(*row[3:])) for row in rows.fetchall()]
