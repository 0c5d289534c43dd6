"""One pass over every source database: snapshot what is new, then the change stream up to now.

Guarantees. The position commits in the warehouse transaction of the rows that it covers, and the slot advances only
after: whenever this process dies, the next pass goes on from the stored position, and no change is lost or doubled.
What cannot be continued so (a lost slot, a source restored from a backup) is refused, never silently copied anew.
"""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import duckdb
import psycopg

from ingestion import land
from ingestion.land import RawTable
from ingestion.postgres.apply import Applier
from ingestion.postgres.catalog import SourceTable, check_server, discover
from ingestion.postgres.connection import Connection, connect, flush_all, flush_lsn, lsn_text
from ingestion.postgres.position import SOURCE, Captured, Position
from ingestion.postgres.slots import (
    advance_slot,
    drop_slot,
    exported_snapshot,
    find_slot,
    slot_name,
    sole_reader,
)
from ingestion.postgres.snapshot import CHUNK_BLOCKS, Snapshot
from ingestion.postgres.stream import BATCH_MESSAGES, Stream
from pii_policies import load_contracts
from settings import Settings, TailraceError, postgres_problem
from warehouse import DuckDBWarehouse, positions, transaction
from warehouse.duckdb_engine import warehouse_problem
from warehouse.failpoints import failpoint

Progress = Callable[[str], None]


@dataclass
class TableReport:
    """What one pass landed in one raw table."""

    snapshotted: int = 0
    applied: int = 0
    deleted: int = 0
    bytes: int = 0


@dataclass
class SyncReport:
    """One pass over one source database. ``lsn`` is the position that the warehouse has now.

    ``lag_bytes`` is WAL written since the pass looked for the end of the stream, ``lag_seconds`` the age of that look.
    """

    database: str
    tables: dict[str, TableReport] = field(default_factory=dict)
    lsn: str = "0/0"
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def snapshotted(self) -> int:
        return sum(table.snapshotted for table in self.tables.values())

    @property
    def applied(self) -> int:
        return sum(table.applied for table in self.tables.values())

    @property
    def deleted(self) -> int:
        return sum(table.deleted for table in self.tables.values())

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables.values())


def sync(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    *,
    database: str | None = None,
    tables: Sequence[RawTable] | None = None,
    progress: Progress | None = None,
    batch_messages: int = BATCH_MESSAGES,
    chunk_blocks: int = CHUNK_BLOCKS,
) -> list[SyncReport]:
    """Bring the raw tables up to the present of every source database, or of ``database`` alone.

    ``tables`` defaults to those of the contracts; a batch ends with the transaction that passes ``batch_messages``,
    and tables are copied by ``chunk_blocks`` of their heap.
    Raises TailraceError, one line with its remedy, when a source cannot be captured whole; databases that were done
    before it stay done.
    """
    databases = settings.source_databases()
    if database is not None:
        if database not in databases:
            raise TailraceError(f"{database} is not a source database; there are {', '.join(databases)}")
        databases = {database: databases[database]}
    if tables is None:
        tables = [land.raw_table(table) for table in load_contracts().raw_tables("app")]
    config = settings.sources.postgres
    reports = []
    for name, dsn in databases.items():
        capture = _Capture(
            database=name,
            dsn=dsn,
            slot=slot_name(config.slot, name),
            publication=config.publication,
            patterns=config.schemas,
            tables=tables,
            warehouse=warehouse,
            progress=progress or _silent,
            batch_messages=batch_messages,
            chunk_blocks=chunk_blocks,
        )
        with _one_line(dsn, warehouse):
            reports.append(capture.run())
    return reports


def _silent(message: str) -> None:
    pass


@contextmanager
def _one_line(dsn: str, warehouse: DuckDBWarehouse) -> Iterator[None]:
    """Failures of either side as one line, without the values that their own messages may quote."""
    try:
        yield
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    except (duckdb.OperationalError, duckdb.FatalException) as error:
        raise TailraceError(warehouse_problem(warehouse.path, error)) from None


@dataclass
class _Capture:
    """One pass over one database."""

    database: str
    dsn: str
    slot: str
    publication: str
    patterns: Sequence[str]
    tables: Sequence[RawTable]
    warehouse: DuckDBWarehouse
    progress: Progress
    batch_messages: int
    chunk_blocks: int
    report: SyncReport = field(init=False)

    def run(self) -> SyncReport:
        began = time.monotonic()
        self.report = SyncReport(self.database)
        with connect(self.dsn) as connection, sole_reader(connection, self.slot, on_wait=self.progress):
            system = check_server(connection, database=self.database, publication=self.publication)
            relations = discover(
                connection,
                database=self.database,
                publication=self.publication,
                patterns=self.patterns,
                tables=self.tables,
            )
            position = self._prepare()
            if position is None:
                position = self._first_snapshot(connection, system, relations)
            else:
                self._check_slot(connection, system, position)
                self._forget_unpublished(position, relations)
            fresh = [table for table in relations if not position.holds(table.name, table.shape)]
            if fresh:
                self._join(connection, position, relations, fresh)
            looked = time.monotonic()
            upto = flush_lsn(connection)
            self._stream(connection, position, relations, upto)
            self.report.lsn = lsn_text(position.lsn)
            self.report.lag_bytes = max(0, flush_lsn(connection) - max(upto, position.lsn))
            self.report.lag_seconds = time.monotonic() - looked
        self.report.seconds = time.monotonic() - began
        return self.report

    def _prepare(self) -> Position | None:
        with self.warehouse.writer(f"preparing raw tables of {self.database}", on_wait=self.progress) as con:
            with transaction(con):
                for table in self.tables:
                    land.ensure_table(con, table)
            return Position.read(con, self.database)

    def _stored(self) -> Position | None:
        with self.warehouse.reader(f"position of {self.database}") as con:
            return Position.read(con, self.database)

    def _check_slot(self, connection: Connection, system: str, position: Position) -> None:
        """Refuse to go on where changes are missing; repeat an advance that a death has prevented."""
        where = f"{self.database}: slot {self.slot}"
        anew = (
            "to copy its tables anew, run in the warehouse: "
            f"delete from tailrace.positions where source = '{SOURCE}' and stream = '{self.database}'"
        )
        slot = find_slot(connection, self.slot)
        if system != position.system:
            raise TailraceError(f"{self.database}: another PostgreSQL cluster than the one that was captured; {anew}")
        if slot is None:
            raise TailraceError(f"{where} is gone, changes since {lsn_text(position.lsn)} are lost; {anew}")
        if slot.lost:
            raise TailraceError(f"{where} was invalidated (max_slot_wal_keep_size), changes are lost; {anew}")
        if flush_lsn(connection) < position.lsn:
            raise TailraceError(
                f"{self.database}: the source is behind {lsn_text(position.lsn)}, which was landed from it "
                f"(restored from a backup?); {anew}"
            )
        if slot.confirmed > position.lsn:
            raise TailraceError(
                f"{where} was advanced to {lsn_text(slot.confirmed)} by someone else, "
                f"changes since {lsn_text(position.lsn)} are lost; {anew}"
            )
        if slot.confirmed < position.lsn:
            advance_slot(connection, self.slot, position.lsn)

    def _forget_unpublished(self, position: Position, relations: Sequence[SourceTable]) -> None:
        """A relation that left the publication misses changes from now on: should it return, it is copied anew."""
        gone = set(position.relations) - {table.name for table in relations}
        if gone:
            for name in gone:
                del position.relations[name]
            with self.warehouse.writer(f"position of {self.database}", on_wait=self.progress) as con, transaction(con):
                position.store(con, self.database)

    def _first_snapshot(self, connection: Connection, system: str, relations: Sequence[SourceTable]) -> Position:
        """A new slot, and the tables as they were when it began. A slot without a position is a killed snapshot's."""
        if find_slot(connection, self.slot) is not None:
            drop_slot(connection, self.slot)
        try:
            with exported_snapshot(self.dsn, self.slot, temporary=False) as (lsn, name):
                failpoint("after_slot_creation")
                position, snapshot = Position(lsn, system), self._snapshot(system, lsn, name)
                with self.warehouse.writer(f"position of {self.database}", on_wait=self.progress) as con:
                    with transaction(con):
                        snapshot.discard(con)
                        position.store(con, self.database)
                self._copy(position, relations, snapshot)
        except BaseException:
            with suppress(psycopg.Error, TailraceError):
                if self._stored() is None and find_slot(connection, self.slot) is not None:
                    drop_slot(connection, self.slot)  # it would hold WAL for nobody
            raise
        return position

    def _join(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        fresh: Sequence[SourceTable],
    ) -> None:
        """Copy relations that were published, or changed their columns, or whose copy a dead pass left, since then.

        What is copied whole lands first: the stream has to be applied to it. The others are copied as of one point of
        the stream, after the stream has been landed up to exactly that point, without changes that their copy shows.
        """
        slot = f"tailrace_join_{secrets.token_hex(6)}"
        with exported_snapshot(self.dsn, slot, temporary=True) as (lsn, name):
            snapshot = self._snapshot(position.system, lsn, name)
            self._finish(position, snapshot.complete(fresh, since=position.lsn), snapshot)
            rest = [table for table in fresh if not position.holds(table.name, table.shape)]
            passed = {table.name: lsn for table in rest if table.name not in position.relations}
            self._stream(connection, position, relations, lsn, passed=passed)
            self._copy(position, rest, snapshot)

    def _snapshot(self, system: str, lsn: int, name: str) -> Snapshot:
        return Snapshot(
            database=self.database,
            dsn=self.dsn,
            system=system,
            lsn=lsn,
            name=name,
            warehouse=self.warehouse,
            chunk_blocks=self.chunk_blocks,
            progress=self.progress,
        )

    def _copy(self, position: Position, relations: Sequence[SourceTable], snapshot: Snapshot) -> None:
        """Copy ``relations``, chunk by chunk, then land them and the position in one transaction."""
        for name, copied in snapshot.copy(relations).items():
            report = self._table(name.partition(".")[2])
            report.snapshotted += copied.rows
            report.bytes += copied.bytes
        self._finish(position, relations, snapshot)
        failpoint("after_snapshot_commit")

    def _finish(self, position: Position, relations: Sequence[SourceTable], snapshot: Snapshot) -> None:
        """Put what was copied whole into raw, with the position."""
        if not relations:
            return
        with self.warehouse.writer(f"snapshot of {self.database}", on_wait=self.progress) as con, transaction(con):
            since = snapshot.finish(con, relations, extracted_at=positions.stamp(con))
            for table in relations:
                position.relations[table.name] = Captured(table.shape, since[table.name])
            position.store(con, self.database)
            failpoint("before_snapshot_commit")

    def _stream(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        upto: int,
        *,
        passed: Mapping[str, int] | None = None,
    ) -> None:
        """Land every transaction that committed between the position and ``upto``, in bounded batches."""
        if upto <= position.lsn:
            return
        flush_all(connection)
        # The slot must stand at the position before it is copied: the copy begins where the slot does.
        slot = find_slot(connection, self.slot)
        if slot is not None and slot.confirmed < position.lsn:
            advance_slot(connection, self.slot, position.lsn)

        def store(con: duckdb.DuckDBPyConnection, lsn: int) -> None:
            replace(position, lsn=lsn).store(con, self.database)

        def landed(lsn: int, applier: Applier) -> None:
            position.lsn = lsn
            self._count(applier)
            advance_slot(connection, self.slot, lsn)

        Stream(
            database=self.database,
            dsn=self.dsn,
            slot=self.slot,
            publication=self.publication,
            warehouse=self.warehouse,
            landing=self._landing,
            since={name: captured.since for name, captured in position.relations.items()} | dict(passed or {}),
            store=store,
            landed=landed,
            progress=self.progress,
            batch_messages=self.batch_messages,
        ).run(position.lsn, upto, binary=all(table.binary for table in relations))

    def _landing(self, schema: str, name: str) -> RawTable | None:
        """The raw table of a relation; a schema that was created after the look at the catalog counts too."""
        if not any(fnmatchcase(schema, pattern) for pattern in self.patterns):
            return None
        return next((table for table in self.tables if table.name == name), None)

    def _table(self, name: str) -> TableReport:
        return self.report.tables.setdefault(name, TableReport())

    def _count(self, applier: Applier) -> None:
        for name, changes in applier.changes.items():
            report = self._table(name)
            report.applied += changes
            report.deleted += applier.landed[name].deleted
            report.bytes += applier.landed[name].bytes
        if applier.changes:
            self.progress(f"{self.database}: {sum(applier.changes.values()):,} changes landed")
