"""One pass over every source database: copy what is new, then land the change stream up to now.

Guarantees. The position commits in the warehouse transaction of the rows that it covers, and the slot advances only
after: whenever this process dies, the next pass goes on from the stored position, and no change is lost or doubled.
Between two commits raw shows every captured table as of one point of the source's history.
What cannot be continued so (a lost slot, a source restored from a backup) is refused, never silently copied anew.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace

import duckdb
import psycopg

from ingestion import land
from ingestion.land import RawTable
from ingestion.postgres import drift
from ingestion.postgres.apply import Applier
from ingestion.postgres.catalog import SourceTable, check_server, discover, existing_tables
from ingestion.postgres.connection import Connection, connect, flush_all, flush_lsn, lsn_text
from ingestion.postgres.drift import Drift
from ingestion.postgres.position import SOURCE, Captured, Position
from ingestion.postgres.report import SyncReport
from ingestion.postgres.slots import advance_slot, drop_slot, exported_snapshot, find_slot, slot_name, sole_reader
from ingestion.postgres.snapshot import Snapshot
from ingestion.postgres.stream import BATCH_MESSAGES, Stream
from pii_policies import load_contracts
from settings import Settings, TailraceError, postgres_problem
from warehouse import DuckDBWarehouse, positions, transaction
from warehouse.duckdb_engine import warehouse_problem
from warehouse.failpoints import failpoint

Progress = Callable[[str], None]


def sync(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    *,
    database: str | None = None,
    tables: Sequence[RawTable] | None = None,
    progress: Progress | None = None,
    batch_messages: int = BATCH_MESSAGES,
) -> list[SyncReport]:
    """Bring the raw tables up to the present of every source database, or of ``database`` alone.

    ``tables`` defaults to those of the contracts; a batch ends with the transaction that passes ``batch_messages``.
    Raises TailraceError, one line with its remedy, when a source cannot be captured whole; databases that were done
    before it stay done.
    """
    databases = settings.source_databases()
    if database is not None:
        if database not in databases:
            raise TailraceError(f"{database} is not a source database; there are {', '.join(databases)}")
        databases = {database: databases[database]}
    options = {"tables": tables, "progress": progress, "batch_messages": batch_messages}
    return [capture_of(settings, warehouse, name, dsn, **options).run() for name, dsn in databases.items()]


def capture_of(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    database: str,
    dsn: str,
    *,
    tables: Sequence[RawTable] | None = None,
    progress: Progress | None = None,
    batch_messages: int = BATCH_MESSAGES,
) -> Capture:
    """The capture of one source database as ``tailrace.yml`` and the contracts describe it."""
    config = settings.sources.postgres
    return Capture(
        database=database,
        dsn=dsn,
        slot=slot_name(config.slot, database),
        publication=config.publication,
        patterns=config.schemas,
        tables=contracted_tables() if tables is None else tables,
        warehouse=warehouse,
        progress=progress or _silent,
        batch_messages=batch_messages,
    )


def contracted_tables() -> list[RawTable]:
    """The raw tables that the product's contract lands."""
    return [land.raw_table(table) for table in load_contracts().raw_tables("app")]


def _silent(message: str) -> None:
    pass


@contextmanager
def one_line(dsn: str, warehouse: DuckDBWarehouse) -> Iterator[None]:
    """Failures of either side as one line, without the values that their own messages may quote."""
    try:
        yield
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    except (duckdb.OperationalError, duckdb.FatalException) as error:
        raise TailraceError(warehouse_problem(warehouse.path, error)) from None


@dataclass(kw_only=True)
class Capture:
    """One source database and the raw tables that it lands in."""

    database: str
    dsn: str
    slot: str
    publication: str
    patterns: Sequence[str]
    tables: Sequence[RawTable]
    warehouse: DuckDBWarehouse
    progress: Progress
    batch_messages: int = BATCH_MESSAGES
    _report: SyncReport = field(init=False)

    def run(self) -> SyncReport:
        """One pass over a connection of its own."""
        with one_line(self.dsn, self.warehouse), connect(self.dsn) as connection:
            return self.step(connection)

    def step(self, connection: Connection) -> SyncReport:
        """One pass: everything that committed at the source before it began is in raw when it ends."""
        began = time.monotonic()
        self._report = SyncReport(self.database)
        with sole_reader(connection, self.slot, on_wait=self.progress):
            self._pass(connection)
        self._report.seconds = time.monotonic() - began
        return self._report

    def _pass(self, connection: Connection) -> None:
        system = check_server(connection, database=self.database, publication=self.publication)
        relations, position = self._prepare(
            discover(
                connection,
                database=self.database,
                publication=self.publication,
                patterns=self.patterns,
                tables=self.tables,
            )
        )
        if position is None:
            position = self._begin(connection, system, relations)
        else:
            self._check_slot(connection, system, position)
            self._adapt(connection, position, relations)
        looked, upto = time.monotonic(), flush_lsn(connection)
        self._stream(connection, position, relations, upto)
        self._report.lsn = lsn_text(position.lsn)
        self._report.lag_bytes = max(0, flush_lsn(connection) - max(upto, position.lsn))
        self._report.lag_seconds = time.monotonic() - looked

    def _writer(self, purpose: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self.warehouse.writer(f"{purpose} of {self.database}", on_wait=self.progress)

    def _prepare(self, published: list[SourceTable]) -> tuple[list[SourceTable], Position | None]:
        """The relations with all that they land, raw tables that can hold it, and how far they have been landed."""
        self._report.unclassified = drift.unclassified(published)
        with self._writer("raw tables") as con, transaction(con):
            relations = drift.landing(published, {table.name: land.present_columns(con, table) for table in self.tables})
            wanted = {table.name: table for table in self.tables} | {each.raw.name: each.raw for each in relations}
            for table in wanted.values():
                land.ensure_table(con, table, retype=True)
            return relations, Position.read(con, self.database)

    def _begin(self, connection: Connection, system: str, relations: Sequence[SourceTable]) -> Position:
        """A new slot, and the tables as they were when it began.

        The position is stored before anything is copied, so that a copy that dies is gone on with. A slot without a
        position is older than that.
        """
        if find_slot(connection, self.slot) is not None:
            drop_slot(connection, self.slot)
        stored = False
        try:
            with self._snapshot(system, slot=self.slot) as snapshot:
                failpoint("after_slot_creation")
                position = Position(snapshot.lsn, system)
                with self._writer("position") as con, transaction(con):
                    position.store(con, self.database)
                stored = True
                self._join(connection, position, relations, relations, snapshot)
        except BaseException:
            if not stored:
                with suppress(psycopg.Error, TailraceError):
                    drop_slot(connection, self.slot)  # it would hold WAL for nobody
            raise
        return position

    def _adapt(self, connection: Connection, position: Position, relations: Sequence[SourceTable]) -> None:
        """Follow what changed at the source's tables since the last pass."""
        changes = drift.compare(position, relations)
        if changes.gone or changes.altered:
            self._let_go(connection, position, changes)
        if changes.grown:
            with self._snapshot(position.system) as snapshot:
                self._backfill(connection, position, relations, changes, snapshot)
        if changes.fresh:
            with self._snapshot(position.system) as snapshot:
                self._join(connection, position, relations, changes.fresh, snapshot)
        for relation in relations:
            for column in relation.dropped:
                self._warn(f"{relation.name}: the source has no column {column} any more; raw keeps what was landed")

    @contextmanager
    def _snapshot(self, system: str, *, slot: str | None = None) -> Iterator[Snapshot]:
        """The source as of a new slot's beginning: ``slot``, or one that lasts as long as the block."""
        name = slot or f"tailrace_join_{secrets.token_hex(6)}"
        with exported_snapshot(self.dsn, name, temporary=slot is None) as (lsn, snapshot):
            yield Snapshot(
                database=self.database,
                dsn=self.dsn,
                system=system,
                slot=name,
                lsn=lsn,
                name=snapshot,
                warehouse=self.warehouse,
                progress=self.progress,
            )

    def _let_go(self, connection: Connection, position: Position, changes: Drift) -> None:
        """Relations that left: rows of a dropped table are deleted ones; those of an unpublished one stand as they are.

        Either misses changes from now on: should it return, it is copied anew.
        """
        existing = existing_tables(connection, changes.gone)
        by_name = {table.name: table for table in self.tables}
        with self._writer("tables that left") as con, transaction(con):
            now = positions.stamp(con)
            for name in changes.gone:
                del position.relations[name]
                schema, _, table = name.partition(".")
                if name in existing:
                    self._warn(f"{name}: no longer in publication {self.publication}; its raw rows stand still")
                elif table in by_name:
                    raw, origin = by_name[table], f"{self.database}.{schema}"
                    landed = land.truncate(con, raw, origin=origin, at=now, extracted_at=now, lsn=position.lsn)
                    self._report.table(table).deleted += landed.deleted
            for relation in changes.altered:
                position.relations[relation.name] = Captured(relation.oid, relation.shape)
            position.store(con, self.database)

    def _backfill(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        changes: Drift,
        snapshot: Snapshot,
    ) -> None:
        """Copy the columns that are new, or of another type, for the rows that exist.

        The stream does not tell what `add column … default` or a change of type gives them. They are read as of the
        point to which the stream has been landed.
        """
        self._stream(connection, position, relations, snapshot.lsn, lenient=changes.retyped)
        with self._writer("new columns") as con, transaction(con):
            for relation, columns in changes.grown.values():
                snapshot.backfill(con, relation, columns)
                position.relations[relation.name] = Captured(relation.oid, relation.shape)
            position.store(con, self.database)

    def _join(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        fresh: Sequence[SourceTable],
        snapshot: Snapshot,
    ) -> None:
        """Copy relations beside raw, and add them when raw has come to the same point of the stream.

        The stream of the others goes on meanwhile. It may pass the copies: then they are brought up to it.
        """
        for relation in fresh:
            if relation.dropped:
                raise TailraceError(
                    f"{self.database}: {relation.name} has no column {relation.dropped[0]}, which the contract lands; "
                    "add it to the table or take it out of the contract"
                )
        copied = snapshot.copy(
            fresh, meanwhile=lambda: self._stream(connection, position, relations, flush_lsn(connection))
        )
        if not position.relations:
            position.lsn = snapshot.lsn  # nothing has been landed yet that would have to come this far
        elif position.lsn > snapshot.lsn:
            shadows = {relation.name: snapshot.shadow(relation) for relation in fresh}
            self._stream_of(snapshot.slot, shadows, fresh).run(snapshot.lsn, position.lsn)
        else:
            self._stream(connection, position, relations, snapshot.lsn)
        with self._writer("copies") as con, transaction(con):
            snapshot.finish(con, fresh, extracted_at=positions.stamp(con))
            for relation in fresh:
                position.relations[relation.name] = Captured(relation.oid, relation.shape)
            position.store(con, self.database)
            failpoint("before_snapshot_commit")
        failpoint("after_snapshot_commit")
        for table, report in copied.items():
            self._report.table(table).snapshotted += report.rows
            self._report.table(table).bytes += report.bytes

    def _stream(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        upto: int,
        *,
        lenient: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Land every transaction that committed between the position and ``upto``, in bounded batches.

        Relations that the position does not cover are passed over: they join by a copy. ``lenient`` names columns
        whose values are copied again afterwards, because they changed their type.
        """
        if upto <= position.lsn:
            return
        captured = [relation for relation in relations if relation.name in position.relations]
        if not captured:
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

        tables = {relation.name: relation.raw for relation in captured}
        stream = self._stream_of(self.slot, tables, captured)
        replace(stream, store=store, landed=landed, lenient=lenient or {}).run(position.lsn, upto)

    def _stream_of(self, slot: str, tables: Mapping[str, RawTable], relations: Sequence[SourceTable]) -> Stream:
        """The stream of ``relations`` out of a slot into ``tables``, by name."""
        return Stream(
            database=self.database,
            dsn=self.dsn,
            slot=slot,
            publication=self.publication,
            warehouse=self.warehouse,
            landing=lambda schema, name: tables.get(f"{schema}.{name}"),
            store=lambda con, lsn: None,
            landed=lambda lsn, applier: None,
            progress=self.progress,
            binary=all(relation.binary for relation in relations),
            batch_messages=self.batch_messages,
        )

    def _check_slot(self, connection: Connection, system: str, position: Position) -> None:
        """Refuse to go on where changes are missing; repeat an advance that a death has prevented."""

    def _warn(self, message: str) -> None:
        self._report.warnings.append(message)
        self.progress(f"{self.database}: {message}")

    def _count(self, applier: Applier) -> None:
        for name, changes in applier.changes.items():
            report = self._report.table(name)
            report.applied += changes
            report.deleted += applier.landed[name].deleted
            report.bytes += applier.landed[name].bytes
        if applier.changes:
            self.progress(f"{self.database}: {sum(applier.changes.values()):,} changes landed")
