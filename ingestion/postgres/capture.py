"""One pass over every source database: snapshot what is new, then the change stream up to now.

Guarantees. The position commits in the warehouse transaction of the rows that it covers, and the slot advances only
after: whenever this process dies, the next pass goes on from the stored position, and no change is lost or doubled.
What cannot be continued so (a lost slot, a source restored from a backup) is refused, or copied anew where
``on_slot_lost`` or ``resnapshot`` says so; never silently.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import duckdb
import psycopg

from ingestion import land
from ingestion.land import Landed, RawTable
from ingestion.postgres.apply import Applier
from ingestion.postgres.catalog import SourceTable, discover, read_source
from ingestion.postgres.checks import findings, require
from ingestion.postgres.connection import Connection, connect, flush_all, lsn_text
from ingestion.postgres.position import Captured, Position
from ingestion.postgres.reader import open_snapshot, snapshot_query
from ingestion.postgres.slots import (
    Cluster,
    StreamLostError,
    advance_slot,
    check_continuity,
    drop_slot,
    exported_snapshot,
    find_slot,
    lag,
    release_wal,
    slot_name,
    sole_reader,
    source_present,
)
from ingestion.postgres.standing import unclassified
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

    ``lag_bytes`` is WAL written since the pass looked for the end of the stream, ``lag_seconds`` the age of that look,
    0 when nothing was written. ``retained_bytes`` is WAL that the slot holds on the server, ``safe_bytes`` what may be
    written before the server invalidates it (None: no limit). ``warnings`` are lines with their remedies,
    ``unclassified`` the columns by table that no contract classifies.
    """

    database: str
    tables: dict[str, TableReport] = field(default_factory=dict)
    lsn: str = "0/0"
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    retained_bytes: int = 0
    safe_bytes: int | None = None
    warnings: list[str] = field(default_factory=list)
    unclassified: dict[str, list[str]] = field(default_factory=dict)
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
    resnapshot: bool = False,
) -> list[SyncReport]:
    """Bring the raw tables up to the present of every source database, or of ``database`` alone.

    ``tables`` defaults to those of the contracts; a batch ends with the transaction that passes ``batch_messages``.
    With ``resnapshot`` the tables are copied anew, whatever was landed before.
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
            resnapshot=resnapshot,
            resnapshot_if_lost=config.on_slot_lost == "resnapshot",
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
    resnapshot: bool
    resnapshot_if_lost: bool
    report: SyncReport = field(init=False)

    def run(self) -> SyncReport:
        began = time.monotonic()
        self.report = SyncReport(self.database)
        with connect(self.dsn) as connection, sole_reader(connection, self.slot, on_wait=self.progress):
            source = read_source(
                connection,
                publication=self.publication,
                slot=self.slot,
                patterns=self.patterns,
                tables=self.tables,
            )
            found = findings(connection, source, database=self.database, patterns=self.patterns, tables=self.tables)
            self.report.warnings += require(list(found))
            relations = discover(source, self.tables)
            self.report.unclassified = unclassified(relations)
            cluster = Cluster(source.server["system"], source.server["timeline"])
            position = self._prepare()
            if position is not None:
                position = self._continue(connection, cluster, position)
            if position is None:
                self._refuse_dropped(relations)
                position = self._first_snapshot(connection, cluster, relations)
            else:
                self._forget_unpublished(position, relations)
            fresh = [table for table in relations if not position.holds(table.name, table.shape)]
            if fresh:
                self._refuse_dropped(fresh)
                self._join(connection, position, relations, fresh)
            flush_all(connection)  # else an asynchronous commit that has returned would wait for the next pass
            upto, now = source_present(connection)
            self._stream(connection, position, relations, upto)
            self._complete(connection, position, upto, now)
        self.report.seconds = time.monotonic() - began
        return self.report

    def _complete(self, connection: Connection, position: Position, upto: int, now: str) -> None:
        """Store that the warehouse holds all of the source as it was ``now``, and report how far the source went on."""
        release_wal(connection, self.slot)
        slot = find_slot(connection, self.slot)
        position.complete_lsn, position.complete_until = max(upto, position.lsn), now
        position.restart = slot.restart if slot is not None else 0
        self._store(position)
        behind = lag(connection, self.slot, position.complete_lsn, now)
        self.report.lsn = lsn_text(position.lsn)
        if behind is not None:
            self.report.lag_bytes, self.report.lag_seconds = behind.bytes, behind.seconds or 0.0
            self.report.retained_bytes, self.report.safe_bytes = behind.retained_bytes, behind.safe_bytes

    def _store(self, position: Position) -> None:
        with self.warehouse.writer(f"position of {self.database}", on_wait=self.progress) as con, transaction(con):
            position.store(con, self.database)

    def _refuse_dropped(self, relations: Sequence[SourceTable]) -> None:
        """A copy without a column that the contract lands would fill it with NULL."""
        for table in relations:
            if table.dropped:
                raise TailraceError(
                    f"{self.database}: {table.name} has no column {table.dropped[0]}, which the contract lands; "
                    "restore it in the source, or take it out of the contract"
                )

    def _prepare(self) -> Position | None:
        with self.warehouse.writer(f"preparing raw tables of {self.database}", on_wait=self.progress) as con:
            with transaction(con):
                for table in self.tables:
                    land.ensure_table(con, table)
            return Position.read(con, self.database)

    def _stored(self) -> Position | None:
        with self.warehouse.reader(f"position of {self.database}") as con:
            return Position.read(con, self.database)

    def _continue(self, connection: Connection, cluster: Cluster, position: Position) -> Position | None:
        """The position if the stream goes on from it, None to begin anew. Raises StreamLostError."""
        if self.resnapshot:
            self._start_over(connection, "asked for")
            return None
        try:
            self._check_slot(connection, cluster, position)
        except StreamLostError as lost:
            if not self.resnapshot_if_lost:
                raise
            self.report.warnings.append(f"{self.database}: copied anew, {lost.problem}")
            self._start_over(connection, lost.problem)
            return None
        return position

    def _check_slot(self, connection: Connection, cluster: Cluster, position: Position) -> None:
        """Refuse to go on where changes are missing; repeat an advance that a death has prevented."""
        note = check_continuity(
            connection, self.dsn, database=self.database, slot=self.slot, position=position, cluster=cluster
        )
        if note is not None:
            self.report.warnings.append(f"{self.database}: {note}; the stream goes on")
        position.timeline = cluster.timeline
        slot = find_slot(connection, self.slot)
        if slot is not None and slot.confirmed < position.lsn:
            advance_slot(connection, self.slot, position.lsn)

    def _start_over(self, connection: Connection, why: str) -> None:
        """Forget the position first: a slot without one is taken for a killed snapshot's, and dropped."""
        self.progress(f"{self.database}: copying its tables anew ({why})")
        with self.warehouse.writer(f"position of {self.database}", on_wait=self.progress) as con, transaction(con):
            Position.forget(con, self.database)
        if find_slot(connection, self.slot) is not None:
            drop_slot(connection, self.slot)

    def _forget_unpublished(self, position: Position, relations: Sequence[SourceTable]) -> None:
        """A relation that left the publication misses changes from now on: should it return, it is copied anew."""
        gone = set(position.relations) - {table.name for table in relations}
        if gone:
            for name in gone:
                del position.relations[name]
            self._store(position)

    def _first_snapshot(self, connection: Connection, cluster: Cluster, relations: Sequence[SourceTable]) -> Position:
        """A new slot, and the tables as they were when it began. A slot without a position is a killed snapshot's."""
        if find_slot(connection, self.slot) is not None:
            drop_slot(connection, self.slot)
        try:
            with exported_snapshot(self.dsn, self.slot, temporary=False) as (lsn, snapshot):
                failpoint("after_slot_creation")
                position = Position(lsn, cluster.system, timeline=cluster.timeline)
                self._copy(position, relations, snapshot)
        except BaseException:
            with suppress(psycopg.Error, TailraceError):
                if self._stored() is None and find_slot(connection, self.slot) is not None:
                    drop_slot(connection, self.slot)  # it would hold WAL for nobody
            raise
        failpoint("after_snapshot_commit")
        return position

    def _join(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        fresh: Sequence[SourceTable],
    ) -> None:
        """Copy relations that were published, or changed their columns, since the last pass.

        They are copied as of one point of the stream, after the stream has been landed up to exactly that point.
        """
        slot = f"tailrace_join_{secrets.token_hex(6)}"
        with exported_snapshot(self.dsn, slot, temporary=True) as (lsn, snapshot):
            self._stream(connection, position, relations, lsn)
            self._copy(position, fresh, snapshot)

    def _copy(self, position: Position, relations: Sequence[SourceTable], snapshot: str) -> None:
        """Land the rows of ``relations`` and the position in one transaction; all of it, or nothing."""
        by_table: dict[str, list[SourceTable]] = {}
        for relation in relations:
            by_table.setdefault(relation.raw.name, []).append(relation)
        with (
            open_snapshot(self.dsn, snapshot) as reader,
            self.warehouse.writer(f"snapshot of {self.database}", on_wait=self.progress) as con,
            transaction(con),
        ):
            extracted_at = positions.stamp(con)
            for parts in by_table.values():
                table, added = parts[0].raw, Landed()
                for part in parts:
                    # What an earlier copy landed and this one does not is gone from the source: it stays marked so.
                    origin = f"{self.database}.{part.schema}"
                    land.truncate(con, table, origin=origin, at=extracted_at, extracted_at=extracted_at)
                for part in parts:
                    origin = f"{self.database}.{part.schema}"
                    with reader.batches(snapshot_query(part)) as rows:
                        added += land.append(
                            con, table, rows, origin=origin, extracted_at=extracted_at, lsn=position.lsn
                        )
                    position.relations[part.name] = Captured(part.shape, position.lsn)
                land.drop_superseded(con, table)
                report = self._table(table.name)
                report.snapshotted += added.upserted
                report.bytes += added.bytes
                self.progress(f"{self.database}: {table.name} snapshot, {added.upserted:,} rows")
                failpoint("mid_snapshot")
            position.store(con, self.database)
            failpoint("before_snapshot_commit")

    def _stream(self, connection: Connection, position: Position, relations: Sequence[SourceTable], upto: int) -> None:
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
            since={name: captured.since for name, captured in position.relations.items()},
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
