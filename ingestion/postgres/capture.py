"""One pass over every source database: copy what is new, then land the change stream up to now.

Guarantees. The position commits in the warehouse transaction of the rows that it covers, and the slot advances only
after: whenever this process dies, the next pass goes on from the stored position, and no change is lost or doubled.
Between two commits raw shows every captured table as of one point of the source's history.
What cannot be continued so (a lost slot, a source restored from a backup) is refused, or copied anew where
``on_slot_lost`` or ``resnapshot`` says so; never silently.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import duckdb
import psycopg

from ingestion import land
from ingestion.land import RawTable
from ingestion.postgres import drift
from ingestion.postgres.apply import Applied, Target
from ingestion.postgres.catalog import Source, SourceTable, discover, existing_tables, read_source
from ingestion.postgres.checks import findings, require
from ingestion.postgres.connection import Connection, connect, flush_all, flush_lsn, lsn_text
from ingestion.postgres.drift import Drift
from ingestion.postgres.position import Position
from ingestion.postgres.reader import SlotCopy
from ingestion.postgres.report import SyncReport
from ingestion.postgres.residency import Admission
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
from ingestion.postgres.snapshot import CHUNK_BLOCKS, Snapshot
from ingestion.postgres.stream import BATCH_MESSAGES, Stream
from pii_policies import load_contracts
from settings import Settings, TailraceError, postgres_problem, source_database
from warehouse import DuckDBWarehouse, positions, transaction
from warehouse.duckdb_engine import DEFER_COMPACTION, warehouse_problem
from warehouse.failpoints import failpoint

Progress = Callable[[str], None]
_READS = 5
"""A catalog query fails when a table is dropped while it runs; so often it is tried."""
COMPLETE_SECONDS = 10.0
"""A pass that lands nothing writes down that the warehouse is complete this seldom: a write costs more than a look."""


def sync(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    *,
    database: str | None = None,
    tables: Sequence[RawTable] | None = None,
    progress: Progress | None = None,
    batch_messages: int = BATCH_MESSAGES,
    chunk_blocks: int = CHUNK_BLOCKS,
    resnapshot: bool = False,
) -> list[SyncReport]:
    """Bring the raw tables up to the present of every source database, or of ``database`` alone.

    ``tables`` defaults to those of the contracts; a batch ends with the transaction that passes ``batch_messages``,
    and tables are copied by ``chunk_blocks`` of their heap. With ``resnapshot`` all are copied anew, whatever was
    landed before.
    Raises TailraceError, one line with its remedy, when a source cannot be captured whole; databases that were done
    before it stay done.
    """
    databases = settings.source_databases()
    if database is not None:
        if database not in databases:
            raise TailraceError(f"{database} is not a source database; there are {', '.join(databases)}")
        databases = {database: databases[database]}
    reports = []
    for name, dsn in databases.items():
        capture = capture_of(settings, warehouse, name, dsn, tables=tables, progress=progress)
        capture.batch_messages, capture.chunk_blocks, capture.resnapshot = batch_messages, chunk_blocks, resnapshot
        reports.append(capture.run())
    return reports


def capture_of(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    database: str,
    dsn: str,
    *,
    tables: Sequence[RawTable] | None = None,
    progress: Progress | None = None,
) -> Capture:
    """The capture of one source database as ``tailrace.yml`` and the contracts describe it."""
    config = settings.sources.postgres
    if tables is None:
        redaction = settings.privacy.redaction
        tables = land.landed_tables(load_contracts(), "app", warehouse=warehouse, redaction=redaction)
    return Capture(
        database=database,
        dsn=dsn,
        slot=slot_name(config.slot, database),
        publication=config.publication,
        patterns=config.schemas,
        tables=tables,
        admission=Admission(
            database=database,
            region=settings.region,
            silo_only=settings.residency.silo_only,
            is_silo=database != source_database(config.dsn),
        ),
        warehouse=warehouse,
        progress=progress or _silent,
        resnapshot_if_lost=config.on_slot_lost == "resnapshot",
    )


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


@dataclass(frozen=True)
class _Prepared:
    """What a pass begins with. It holds for the next one if the source's tables are the same, and the warehouse's
    ``epoch``: nobody else wrote it meanwhile."""

    published: list[SourceTable]
    epoch: int
    relations: list[SourceTable]
    position: Position | None


@dataclass(kw_only=True)
class Capture:
    """One source database and the raw tables that it lands in."""

    database: str
    dsn: str
    slot: str
    publication: str
    patterns: Sequence[str]
    tables: Sequence[RawTable]
    admission: Admission
    warehouse: DuckDBWarehouse
    progress: Progress
    batch_messages: int = BATCH_MESSAGES
    resnapshot: bool = False
    resnapshot_if_lost: bool = False
    chunk_blocks: int = CHUNK_BLOCKS
    _report: SyncReport = field(init=False, repr=False)
    _copy: SlotCopy = field(init=False, repr=False)
    _prepared: _Prepared | None = field(init=False, repr=False, default=None)
    _aliases: Mapping[int, int] = field(init=False, repr=False)
    _admit: Callable[[], None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._copy = SlotCopy(self.dsn, self.slot)

    def run(self) -> SyncReport:
        """One pass over a connection of its own."""
        with one_line(self.dsn, self.warehouse), connect(self.dsn) as connection, closing(self):
            return self.step(connection)

    def close(self) -> None:
        """Let go of what a pass leaves open for the next one."""
        self._copy.close()
        self._prepared = None

    def step(self, connection: Connection) -> SyncReport:
        """One pass: everything that committed at the source before it began is in raw when it ends.

        It leaves a session open for the next one: ``close`` when there is none, or when it failed.
        """
        began = time.monotonic()
        self._report = SyncReport(self.database)
        with sole_reader(connection, self.slot, on_wait=self.progress):
            self._pass(connection)
        self._report.seconds = time.monotonic() - began
        return self._report

    def _pass(self, connection: Connection) -> None:
        source = self._read(connection)
        found = findings(connection, source, database=self.database, patterns=self.patterns, tables=self.tables)
        self._report.warnings += require(list(found))
        self._admit = partial(self.admission.check, connection, source)
        self._admit()
        self._aliases = source.aliases
        prepared = self._prepare(discover(source, self.tables))
        relations, position = prepared.relations, prepared.position
        cluster = Cluster(source.server["system"], source.server["timeline"])
        if position is not None:
            position = self._continue(connection, cluster, position)
        if position is None:
            position = self._begin(connection, cluster, relations)
        else:
            self._adapt(connection, position, relations)
        flush_all(connection)  # else an asynchronous commit that has returned would wait for the next pass
        upto, now = source_present(connection)
        self._admit()  # once more, of what committed since the pass began
        self._stream(connection, position, relations, upto, now=now)
        self._finish(connection, position, upto, now)
        self._prepared = replace(prepared, position=position)

    def _read(self, connection: Connection) -> Source:
        for _ in range(_READS):
            with suppress(psycopg.errors.InternalError_, psycopg.errors.UndefinedTable):  # dropped under our eyes
                return read_source(
                    connection, publication=self.publication, slot=self.slot, patterns=self.patterns, tables=self.tables
                )
        raise TailraceError(f"{self.database}: its tables keep being dropped; run the pass again when that is over")

    @contextmanager
    def _writer(self, purpose: str) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.warehouse.writer(f"{purpose} of {self.database}", on_wait=self.progress) as con:
            con.execute(DEFER_COMPACTION)
            yield con

    def _prepare(self, published: list[SourceTable]) -> _Prepared:
        """The relations with all that they land, raw tables that can hold it, and how far they have been landed."""
        self._report.unclassified = drift.unclassified(published)
        last, self._prepared = self._prepared, None
        if last is not None and last.published == published and last.epoch == self.warehouse.epoch():
            return last
        with self._writer("raw tables") as con, transaction(con):
            present = {table.name: land.present_columns(con, table) for table in self.tables}
            relations = drift.landing(published, present)
            wanted = {table.name: table for table in self.tables} | {each.raw.name: each.raw for each in relations}
            for table in wanted.values():
                land.ensure_table(con, table, retype=True)
            position = Position.read(con, self.database)
            return _Prepared(published, self.warehouse.epoch(), relations, position)

    # going on, or beginning

    def _continue(self, connection: Connection, cluster: Cluster, position: Position) -> Position | None:
        """The position if the stream goes on from it, None to begin anew. Raises StreamLostError."""
        if self.resnapshot:
            self._start_over(connection, "asked for")
            return None
        try:
            note = check_continuity(
                connection, self.dsn, database=self.database, slot=self.slot, position=position, cluster=cluster
            )
        except StreamLostError as lost:
            if not self.resnapshot_if_lost:
                raise
            self._warn(f"copied anew, {lost.problem}")
            self._start_over(connection, lost.problem)
            return None
        if note is not None:
            self._warn(f"{note}; the stream goes on")
        position.timeline = cluster.timeline
        return position

    def _start_over(self, connection: Connection, why: str) -> None:
        """Forget the position first: a slot without one is taken for a killed beginning's, and dropped."""
        self._copy.close()
        self.progress(f"{self.database}: copying its tables anew ({why})")
        with self._writer("position") as con, transaction(con):
            Position.forget(con, self.database)
        if find_slot(connection, self.slot) is not None:
            drop_slot(connection, self.slot)

    def _begin(self, connection: Connection, cluster: Cluster, relations: Sequence[SourceTable]) -> Position:
        """A new slot, and the tables as they were when it began.

        The position is stored before anything is copied, so that a copy that dies is gone on with. A slot without a
        position is older than that.
        """
        if find_slot(connection, self.slot) is not None:
            drop_slot(connection, self.slot)
        stored = False
        try:
            with self._snapshot(cluster.system, slot=self.slot) as snapshot:
                failpoint("after_slot_creation")
                position = Position(snapshot.lsn, cluster.system, timeline=cluster.timeline)
                with self._writer("position") as con, transaction(con):
                    snapshot.discard(con)
                    position.store(con, self.database)
                stored = True
                self._join(connection, position, relations, relations, snapshot)
        except BaseException:
            if not stored:
                with suppress(psycopg.Error, TailraceError):
                    drop_slot(connection, self.slot)  # it would hold WAL for nobody
            raise
        return position

    # following what changed at the source's tables

    def _adapt(self, connection: Connection, position: Position, relations: Sequence[SourceTable]) -> None:
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
        """The source as of the beginning of a new slot: ``slot``, or one that lasts as long as the block."""
        name = slot or f"tailrace_join_{secrets.token_hex(6)}"
        with exported_snapshot(self.dsn, name, temporary=slot is None) as (lsn, snapshot):
            self._admit()  # whatever the snapshot shows is there now
            yield Snapshot(
                database=self.database,
                dsn=self.dsn,
                system=system,
                slot=name,
                lsn=lsn,
                name=snapshot,
                warehouse=self.warehouse,
                chunk_blocks=self.chunk_blocks,
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
                    self._warn(
                        f"{name}: not in publication {self.publication} any more; its raw rows stand as they are"
                    )
                elif table in by_name:
                    origin = f"{self.database}.{schema}"
                    landed = land.truncate(
                        con, by_name[table], origin=origin, at=now, extracted_at=now, lsn=position.lsn
                    )
                    self._report.table(table).deleted += landed.deleted
            for relation in changes.altered:
                position.relations[relation.name] = drift.captured(relation)
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
            now = positions.stamp(con)
            for relation, columns in changes.grown.values():
                snapshot.backfill(con, relation, columns, extracted_at=now)
                position.relations[relation.name] = drift.captured(relation)
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
                    "restore it in the source, or take it out of the contract"
                )
        copied = snapshot.copy(
            fresh, meanwhile=lambda: self._stream(connection, position, relations, flush_lsn(connection))
        )
        if position.lsn > snapshot.lsn:
            copies = [replace(relation, raw=snapshot.shadow(relation)) for relation in fresh]
            with closing(SlotCopy(self.dsn, snapshot.slot)) as copy:
                self._stream_of(copy, copies).run(snapshot.lsn, position.lsn)
        else:
            self._stream(connection, position, relations, snapshot.lsn)
            # Even where nothing was for us: what the copies show must not be landed again.
            position.lsn = max(position.lsn, snapshot.lsn)
        with self._writer("copies") as con, transaction(con):
            snapshot.finish(con, fresh, extracted_at=positions.stamp(con))
            for relation in fresh:
                position.relations[relation.name] = drift.captured(relation)
            position.store(con, self.database)
            failpoint("before_snapshot_commit")
        failpoint("after_snapshot_commit")
        for relation in fresh:
            report = self._report.table(relation.raw.name)
            report.snapshotted += copied[relation.name].rows
            report.bytes += copied[relation.name].bytes

    # the stream

    def _stream(
        self,
        connection: Connection,
        position: Position,
        relations: Sequence[SourceTable],
        upto: int,
        *,
        now: str | None = None,
        lenient: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Land every transaction that committed between the position and ``upto``, in bounded batches.

        Relations that the position does not cover are passed over: they join by a copy. ``now`` is the source's clock
        when ``upto`` was its present; ``lenient`` names columns whose values are copied again afterwards.
        """
        known = {name: each.oid for name, each in position.relations.items()}
        captured = [relation for relation in relations if known.get(relation.name) == relation.state.oid]
        if upto <= position.lsn or not captured:
            return
        flush_all(connection)
        # The slot must stand at the position before it is copied: the copy begins where the slot does.
        slot = find_slot(connection, self.slot)
        if slot is not None and slot.confirmed < position.lsn:
            advance_slot(connection, self.slot, position.lsn)

        def reach(position: Position, lsn: int) -> Position:
            position.lsn, position.restart = lsn, slot.restart if slot is not None else 0
            if now is not None and lsn >= upto:
                position.complete_lsn, position.complete_until = lsn, now
            return position

        def store(con: duckdb.DuckDBPyConnection, lsn: int) -> None:
            reach(replace(position), lsn).store(con, self.database)

        def landed(lsn: int, applied: Applied) -> None:
            reach(position, lsn)
            self._count(applied)
            advance_slot(connection, self.slot, lsn)

        stream = self._stream_of(self._copy, captured, lenient=lenient)
        replace(stream, store=store, landed=landed).run(position.lsn, upto)

    def _stream_of(
        self,
        copy: SlotCopy,
        relations: Sequence[SourceTable],
        *,
        lenient: Mapping[str, Sequence[str]] | None = None,
    ) -> Stream:
        """The stream of ``relations`` out of a slot into their raw tables."""
        again = lenient or {}
        return Stream(
            database=self.database,
            copy=copy,
            publication=self.publication,
            warehouse=self.warehouse,
            targets={
                each.state.oid: Target(each.raw, f"{self.database}.{each.schema}", again.get(each.name, ()))
                for each in relations
            },
            store=lambda con, lsn: None,
            landed=lambda lsn, applied: None,
            progress=self.progress,
            aliases=self._aliases,
            binary=all(relation.binary for relation in relations),
            batch_messages=self.batch_messages,
        )

    def _finish(self, connection: Connection, position: Position, upto: int, now: str) -> None:
        """Write down that the warehouse is complete, let go of WAL, and report how far the source went on meanwhile."""
        release_wal(connection, self.slot)
        if _seconds(position.complete_until, now) > COMPLETE_SECONDS:
            position.complete_lsn, position.complete_until = max(upto, position.lsn), now
            with self._writer("position") as con, transaction(con):
                position.store(con, self.database)
        behind = lag(connection, self.slot, max(upto, position.lsn), now)
        self._report.lsn = lsn_text(position.lsn)
        if behind is not None:
            self._report.lag_bytes, self._report.lag_seconds = behind.bytes, behind.seconds or 0.0
            self._report.retained_bytes, self._report.safe_bytes = behind.retained_bytes, behind.safe_bytes

    def _warn(self, message: str) -> None:
        self._report.warnings.append(f"{self.database}: {message}")
        self.progress(f"{self.database}: {message}")

    def _count(self, applied: Applied) -> None:
        for name, changes in applied.changes.items():
            report = self._report.table(name)
            report.applied += changes
            report.deleted += applied.landed[name].deleted
            report.bytes += applied.landed[name].bytes
        if applied.changes:
            self.progress(f"{self.database}: {sum(applied.changes.values()):,} changes landed")


def _seconds(earlier: str | None, later: str) -> float:
    """Between two moments in ISO 8601; without the earlier one, for ever."""
    if earlier is None:
        return float("inf")
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
