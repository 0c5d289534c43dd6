"""Copies of tables: read in physical chunks by several sessions at once, resumed where a dead pass left them.

A copy grows in a shadow table beside the raw table. Each chunk, a range of heap blocks, commits with a line of
``tailrace.copied`` that names it; ``finish`` puts the whole copy in the place of raw in the caller's transaction.

How a copy that was begun under one snapshot is ended under another, exactly. Let S be the snapshot that a range of
blocks C was copied under, x the oldest transaction that S did not see the end of, and T the later snapshot.
1.  A row version that T sees in C and S saw too lies where it lay: a heap tuple never moves within its file, and
    the file is the same (``files``: a rewrite gives the table another one). So it is in the copy.
2.  One that T sees in C and S did not see was written by a transaction that is not older than x (a subtransaction's
    number is greater than its parent's). ``age(xmin) between 0 and age(x)`` finds them all: ages are differences of
    32-bit counters against the same moment, so that they order transactions rightly as long as x is less than 2^31
    transactions back, which is checked. Frozen rows keep their ``xmin`` (since 9.4; before it became 2, whose age is
    greater than any), so what vacuum did in between does not matter. A frozen row of a former round of the counter may
    look young: it is read again, which changes nothing.
3.  A row that was copied and that T does not see any more is one whose key T sees nowhere in C, or sees in a row
    version of point 2, or which was copied later from another range, where it had moved. The first are found by
    the keys that T sees in C; the others by what was landed for their key later.
What T sees outside of C is copied like any chunk. Copied whole, and anew, is a table without a key, one whose rows are
not in a heap, and one whose role may read single columns but not ``ctid`` and ``xmin`` (``grant select (ctid, xmin)``).
"""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import duckdb
import pyarrow as pa

from ingestion import land
from ingestion.land import RawColumn, RawTable
from ingestion.postgres.catalog import SourceTable
from ingestion.postgres.connection import connect, literal
from ingestion.postgres.copied import Copied, Range, joined, whole
from ingestion.postgres.reader import BATCH_BYTES, Blocks, Reader, copy_query, landed_value, open_snapshot
from settings import TailraceError
from warehouse import DuckDBWarehouse, positions, quote, transaction
from warehouse.duckdb_engine import DEFER_COMPACTION
from warehouse.failpoints import failpoint

CHUNK_BLOCKS = 8192
"""Heap blocks of a chunk: 64 MB where a block has 8 KiB."""
_SMALL_BLOCKS, _GROUP_BLOCKS, _GROUP_TABLES = 128, 1024, 64
"""Tables up to so many blocks are read together, up to so many blocks and tables in one query."""
_WRAP = 2**31 - 100_000_000
"""Transactions after which their order could no longer be told from 32 bits; with room for those that run meanwhile."""
_NEWS_SECONDS = 3.0

# For the bulk of a copy. What a later merge rewrites is compressed as everything else is.
_TUNING = (
    "set disabled_compression_methods = 'dict_fsst'",  # costs twice what all else of the landing does
    DEFER_COMPACTION,  # each chunk ends with a row group that is not full; merging them would write all anew
    "set memory_limit = '256MB'",  # all of it spills
)


@dataclass(frozen=True)
class CopyReport:
    """What one call of ``copy`` read of a relation. ``bytes`` are of heap."""

    rows: int
    bytes: int


@dataclass(frozen=True)
class _Found:
    """A relation as the snapshot sees it. ``heaps`` are the table, or its partitions: (oid, file)."""

    table: SourceTable
    only: bool
    heaps: tuple[tuple[int, int], ...]
    blocks: int
    heap_bytes: int
    about: int
    divisible: bool

    @property
    def files(self) -> str:
        return hashlib.sha256(repr(self.heaps).encode()).hexdigest()


@dataclass(frozen=True)
class _Chunk:
    """Work for one transaction: some blocks of one relation."""

    found: _Found
    blocks: Blocks

    @property
    def members(self) -> tuple[_Found, ...]:
        return (self.found,)

    @property
    def heap_bytes(self) -> int:
        return self.found.heap_bytes * min(self._count, self.found.blocks) // max(1, self.found.blocks)

    @property
    def _count(self) -> int:
        return (self.found.blocks if self.blocks.last is None else self.blocks.last) - self.blocks.first


@dataclass(frozen=True)
class _Group:
    """Work for one transaction: whole small relations of one raw table and of the same column types."""

    members: tuple[_Found, ...]

    @property
    def heap_bytes(self) -> int:
        return sum(found.heap_bytes for found in self.members)


@dataclass(frozen=True)
class _Renewal:
    """Work for one transaction: ranges that older snapshots were read for, brought up to this one."""

    found: _Found
    stale: tuple[Range, ...]

    @property
    def members(self) -> tuple[_Found, ...]:
        return (self.found,)

    @property
    def heap_bytes(self) -> int:
        return 0


_Work = _Chunk | _Group | _Renewal


@dataclass(kw_only=True)
class Snapshot:
    """Tables of one database as of one exported snapshot, ``name``, which shows the stream up to ``lsn``.

    The session that exported it stays open as long as this is used. ``slot`` is the one that begins with it; ``system``
    is the cluster's identifier.
    """

    database: str
    dsn: str
    system: str
    slot: str
    lsn: int
    name: str
    warehouse: DuckDBWarehouse
    workers: int = 2
    chunk_blocks: int = CHUNK_BLOCKS
    progress: Callable[[str], None]
    _tally: _Tally = field(init=False)

    @property
    def _copied(self) -> Copied:
        return Copied(self.database)

    def copy(
        self,
        relations: Sequence[SourceTable],
        *,
        step_seconds: float = 5.0,
        meanwhile: Callable[[], None] | None = None,
    ) -> dict[str, CopyReport]:
        """Copy what is not copied yet; each chunk commits. Takes up the copy that a dead pass left of a relation.

        The writer's lease is given back after every ``step_seconds``, and ``meanwhile`` is called. Raises TailraceError
        when a table was rewritten since (a snapshot would show it empty), or holds a value that its raw column cannot.
        """
        found, xmin, latest = self._look(relations)
        self._tally = _Tally(self.database, sum(each.about for each in found), self.progress)
        with self.warehouse.writer(f"copy of {self.database}", on_wait=self.progress) as con, transaction(con):
            work, renewals = self._plan(con, found, latest=latest, xmin=xmin)
        self._run(work, step_seconds=step_seconds, xmin=xmin, meanwhile=meanwhile)
        self._run(renewals, step_seconds=step_seconds, xmin=xmin, meanwhile=meanwhile)
        return {
            each.table.name: CopyReport(
                rows=self._tally.rows.get(each.table.name, 0),
                bytes=self._tally.bytes.get(each.table.name, 0),
            )
            for each in found
        }

    def finish(
        self, con: duckdb.DuckDBPyConnection, relations: Sequence[SourceTable], *, extracted_at: datetime
    ) -> None:
        """Put whole copies in the place of raw, in the caller's transaction.

        An empty raw table is replaced by its copy; else rows are merged by their key, and rows that ``relations`` no
        longer have are marked as deleted.
        """
        kept = self._copied.ranges(con)
        for table in relations:
            if whole(kept.get(table.name, []), self._shape(table)) is None:
                raise TailraceError(f"{self.database}: {table.name} is not copied whole; run the pass again")
        for raw, parts in _by_raw_table(relations).items():
            copy = self._shadow(raw)
            origins = {part.name: f"{self.database}.{part.schema}" for part in parts}
            others = self._copied.others(con, raw, origins)
            if len(parts) > 1:  # one relation has each key once: capture refuses a key that nothing keeps unique
                with _bounded(con):
                    land.drop_superseded(con, raw, copy=copy, origins=origins.values() if others else None)
            empty = not con.execute(f"select 1 from {raw.sql} limit 1").fetchall()
            if (
                empty
                and not others
                and _columns(con, raw.schema, self._shadow_name(raw)) == _columns(con, raw.schema, raw.name)
            ):
                con.execute(f"drop table {raw.sql}")
                con.execute(f"alter table {copy} rename to {quote(raw.name)}")
            else:
                land.replace(con, raw, copy=copy, origins=origins.values(), extracted_at=extracted_at)
                self._drop(con, raw, [part.name for part in parts])
            self._copied.forget(con, [part.name for part in parts])
            failpoint("mid_snapshot")

    def discard(self, con: duckdb.DuckDBPyConnection) -> None:
        """Drop what was copied of this database's relations, in the caller's transaction."""
        self._copied.prepare(con)
        gone = con.execute(
            "select distinct raw, relation from tailrace.copied where database = $database", {"database": self.database}
        ).fetchall()
        for label in sorted({raw for raw, _ in gone}):
            schema, _, name = label.partition(".")
            raw = RawTable(schema, name, (), (), frozenset())
            self._drop(con, raw, [relation for each, relation in gone if each == label])
        self._copied.forget(con, [relation for _, relation in gone])

    def backfill(
        self,
        con: duckdb.DuckDBPyConnection,
        table: SourceTable,
        columns: Sequence[str],
        *,
        extracted_at: datetime,
    ) -> int:
        """Land columns that a relation got anew, of the rows where one is not null; how many rows.

        The caller holds the transaction, and the raw table shows the relation as of this snapshot. All else of its rows
        stays as it is. A table without a key cannot be filled: copy it anew.
        """
        if not table.raw.key:
            raise TailraceError(f"{self.database}: {table.name} has no key to fill columns by; copy it anew")
        wanted = [column for column in table.raw.columns if column.name in {*table.raw.key, *columns}]
        found, _, _ = self._look([table])
        where = " or ".join(f"{quote(name)} is distinct from null" for name in columns)
        rows = ", ".join(f"{quote(column.name)} {column.duck_type}" for column in wanted)
        con.execute(f"create or replace temp table _filling ({rows})")
        with open_snapshot(self.dsn, self.name) as reader:
            self._stage(con, reader, found[0], wanted, "_filling", where=where)
            self._check_files(reader, found)
        origin = f"{self.database}.{table.schema}"
        filled = land.fill(con, table.raw, "_filling", columns, origin=origin, extracted_at=extracted_at)
        con.execute("drop table _filling")
        return filled

    def _shadow_name(self, raw: RawTable) -> str:
        """Of the table that copies of this database's relations grow in."""
        return f"_copy_{raw.name}_{hashlib.sha256(self.database.encode()).hexdigest()[:8]}"

    def shadow(self, table: SourceTable) -> RawTable:
        """The table that the relation's copy grows in, shaped as its raw table."""
        return replace(table.raw, name=self._shadow_name(table.raw))

    def _shadow(self, raw: RawTable) -> str:
        return f"{quote(raw.schema)}.{quote(self._shadow_name(raw))}"

    def _shape(self, table: SourceTable) -> str:
        """What a copy depends on, beside the rows: copied otherwise, it is of no use."""
        columns = [[column.name, column.duck_type, *table.types[column.name]] for column in table.columns]
        facts = [self.system, columns, table.row_filter, table.raw.key]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _look(self, relations: Sequence[SourceTable]) -> tuple[list[_Found], int, int]:
        """The relations, the oldest transaction that the snapshot does not see the end of, and its newest."""
        query = """
            select w.number, c.relkind::text, l.oid::bigint, l.relfilenode::bigint,
                coalesce(pg_relation_size(l.oid), 0)::bigint, current_setting('block_size')::int,
                greatest(l.reltuples, 0)::bigint, coalesce(a.amname = 'heap', false)
                and has_column_privilege(c.oid, 'ctid', 'select') and has_column_privilege(c.oid, 'xmin', 'select')
            from unnest(%s::text[], %s::text[]) with ordinality as w (schema, name, number)
            join pg_namespace as n on n.nspname = w.schema
            join pg_class as c on c.relnamespace = n.oid and c.relname = w.name
            left join lateral (
                select c.oid where c.relkind <> 'p' union all
                select p.relid from pg_partition_tree(c.oid) as p where c.relkind = 'p' and p.isleaf
            ) as heap on true
            left join pg_class as l on l.oid = heap.oid
            left join pg_am as a on a.oid = l.relam
            order by w.number, l.oid
        """
        names = [table.schema for table in relations], [table.raw.name for table in relations]
        with connect(self.dsn) as connection:
            connection.execute("begin isolation level repeatable read, read only")
            connection.execute(f"set transaction snapshot {literal(self.name)}".encode())
            ages = connection.execute(
                "select pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint "
                "from pg_current_snapshot() as s"
            ).fetchone()
            rows = connection.execute(query, names).fetchall()
        assert ages is not None
        found = []
        for number, lines in itertools.groupby(rows, key=lambda row: row[0]):
            heaps = list(lines)
            leaves = [row for row in heaps if row[2] is not None]
            found.append(
                _Found(
                    table=relations[number - 1],
                    only=heaps[0][1] == "r",
                    heaps=tuple((row[2], row[3]) for row in leaves),
                    blocks=max((row[4] // row[5] for row in leaves), default=0),
                    heap_bytes=sum(row[4] for row in leaves),
                    about=sum(row[6] for row in leaves),
                    divisible=all(row[7] for row in leaves),
                )
            )
        if gone := {table.name for table in relations} - {each.table.name for each in found}:
            raise TailraceError(
                f"{self.database}: {min(gone)} was dropped or renamed before it was copied; run the pass again"
            )
        return found, ages[0], ages[1]

    def _plan(
        self, con: duckdb.DuckDBPyConnection, found: Sequence[_Found], *, xmin: int, latest: int
    ) -> tuple[deque[_Work], deque[_Work]]:
        """What is left to read, and what to renew after that."""
        self._copied.prepare(con)
        for raw, parts in _by_raw_table([each.table for each in found]).items():
            if _columns(con, raw.schema, self._shadow_name(raw)) != _columns(con, raw.schema, raw.name):
                self._copied.forget(con, [part.name for part in parts])
                con.execute(f"drop table if exists {self._shadow(raw)}")
                con.execute(f"create table {self._shadow(raw)} as from {raw.sql} limit 0")
        kept = self._copied.ranges(con)
        work: list[_Work] = []
        renewals: deque[_Work] = deque()
        small: dict[tuple[object, ...], list[_Found]] = {}
        anew: dict[RawTable, list[str]] = {}
        empty: list[_Found] = []
        for each in found:
            name, shape = each.table.name, self._shape(each.table)
            ranges = kept.get(name, [])
            if whole(ranges, shape) == self.lsn:
                continue
            taken_up = (
                bool(ranges)
                and bool(each.table.raw.key)
                and each.divisible
                and each.blocks > self.chunk_blocks
                and all(one.shape == shape and one.files == each.files and one.lsn <= self.lsn for one in ranges)
                and latest - min(one.xmin for one in ranges) < _WRAP
            )
            if taken_up:
                work += [_Chunk(each, blocks) for blocks in self._chunks(each, [one.blocks for one in ranges])]
                renewals.append(_Renewal(each, tuple(ranges)))
                continue
            if name in kept:
                anew.setdefault(each.table.raw, []).append(name)
            if each.blocks == 0:
                empty.append(each)
            elif each.divisible and each.blocks <= min(_SMALL_BLOCKS, self.chunk_blocks):
                alike = (each.table.raw, tuple(sorted(each.table.types.items())))
                small.setdefault(alike, []).append(each)
            else:
                work += [_Chunk(each, blocks) for blocks in self._chunks(each, [])]
        for raw, names in anew.items():
            self._drop(con, raw, names, keep=True)
            self._copied.forget(con, names)
        self._copied.note(con, [self._range(each, Blocks(), 0, xmin=xmin) for each in empty])
        for members in small.values():
            work += _grouped(members)
        return deque(work), renewals

    def _chunks(self, found: _Found, taken: Iterable[Blocks]) -> Iterator[Blocks]:
        """The blocks that are not ``taken``, in chunks. The last has no end: the table may have grown."""
        if not found.divisible:
            yield Blocks()
            return
        at = 0
        for blocks in [*joined(taken), Blocks(max(found.blocks, 1))]:
            while at < blocks.first:
                end = min(at + self.chunk_blocks, blocks.first)
                yield Blocks(at, None if end == found.blocks else end)
                at = end
            if blocks.last is None:
                return
            at = blocks.last

    def _run(self, work: deque[_Work], *, step_seconds: float, xmin: int, meanwhile: Callable[[], None] | None) -> None:
        """Do the work in steps, each under a lease of its own, with a session and a cursor for each worker."""
        if not work:
            return
        with ExitStack() as stack:
            sessions = [open_snapshot(self.dsn, self.name) for _ in range(min(self.workers, len(work)))]
            with ThreadPoolExecutor(len(sessions)) as pool:  # the driver looks at every type before it lets go
                readers = list(pool.map(stack.enter_context, sessions))
            while work:
                with self.warehouse.writer(f"copy of {self.database}", on_wait=self.progress) as con:
                    for setting in _TUNING:
                        con.execute(setting)
                    with transaction(con):
                        extracted_at = positions.stamp(con)
                    step = _Step(work, extracted_at, time.monotonic() + step_seconds, xmin)
                    _at_once([partial(self._work, step, reader, con.cursor()) for reader in readers])
                if meanwhile is not None:
                    meanwhile()

    def _work(self, step: _Step, reader: Reader, cur: duckdb.DuckDBPyConnection) -> None:
        """One worker of one step: a piece of work, and another one as long as there is time."""
        cur.execute("set TimeZone = 'UTC'")
        try:
            for item in step.items():
                with transaction(cur):
                    if isinstance(item, _Renewal):
                        self._renew(cur, reader, item, step)
                    else:
                        counted = self._land(cur, reader, item, step)
                        self._copied.note(cur, [self._range(*each, xmin=step.xmin) for each in counted])
                        self._tally.add(item, {found.table.name: rows for found, _, rows in counted})
                    self._check_files(reader, item.members)
                    failpoint("mid_chunk")
                failpoint("after_chunk")
                self._tally.tell()
        except BaseException:
            step.stopped = True
            raise

    def _land(
        self, cur: duckdb.DuckDBPyConnection, reader: Reader, item: _Chunk | _Group, step: _Step
    ) -> list[tuple[_Found, Blocks, int]]:
        if isinstance(item, _Chunk):
            return [(item.found, item.blocks, self._append(cur, reader, item.found, step, blocks=item.blocks))]
        table = item.members[0].table
        query = " union all ".join(
            f"select {literal(each.table.schema)}::text as _schema, * from "
            f"({copy_query(each.table, each.table.columns, only=each.only)}) as _t"
            for each in item.members
        )
        with reader.batches(query) as batches:
            rows = batches.read_all()
        counts = {each["values"]: each["counts"] for each in rows.column("_schema").value_counts().to_pylist()}
        values = _values(table, table.raw.columns)
        cur.register("_chunk", rows)
        try:
            land.append(
                cur,
                table.raw,
                "_chunk as n",
                into=self._shadow(table.raw),
                values=values,
                meta=f"json_object('origin', {literal(self.database + '.')} || n._schema)",
                ids=_ids(cur),
                extracted_at=step.extracted_at,
                lsn=self.lsn,
            )
        except land.MISFITS as error:
            raise TailraceError(land.misfit(table.raw, [rows], values, error)) from None
        cur.unregister("_chunk")
        return [(each, Blocks(), counts.get(each.table.schema, 0)) for each in item.members]

    def _append(
        self,
        cur: duckdb.DuckDBPyConnection,
        reader: Reader,
        found: _Found,
        step: _Step,
        *,
        blocks: Blocks | None = None,
        where: str | None = None,
    ) -> int:
        """Land rows of one relation in the shadow; how many."""
        table = found.table
        meta = literal(json.dumps({"origin": f"{self.database}.{table.schema}"}))

        def append(source: str, values: dict[str, str]) -> int:
            return land.append(
                cur,
                table.raw,
                source,
                into=self._shadow(table.raw),
                values=values,
                meta=f"{meta}::json",
                ids=_ids(cur),
                extracted_at=step.extracted_at,
                lsn=self.lsn,
            )

        return self._read(cur, reader, found, table.raw.columns, append, blocks=blocks, where=where)

    def _stage(
        self,
        cur: duckdb.DuckDBPyConnection,
        reader: Reader,
        found: _Found,
        columns: Sequence[RawColumn],
        into: str,
        *,
        blocks: Blocks | None = None,
        where: str | None = None,
    ) -> int:
        """Add some columns of a relation's rows to a table that has these columns; how many rows."""

        def insert(source: str, values: dict[str, str]) -> int:
            selected = ", ".join(values[column.name] for column in columns)
            return int(cur.execute(f"insert into {into} select {selected} from {source}").fetchall()[0][0])

        return self._read(cur, reader, found, columns, insert, blocks=blocks, where=where)

    def _read(
        self,
        cur: duckdb.DuckDBPyConnection,
        reader: Reader,
        found: _Found,
        columns: Sequence[RawColumn],
        insert: Callable[[str, dict[str, str]], int],
        *,
        blocks: Blocks | None,
        where: str | None,
    ) -> int:
        """Stream columns of a relation into DuckDB by ``insert(source, values)``, which consumes the source once."""
        table = found.table

        present = [column for column in columns if column.name in table.types]
        query = copy_query(table, present, only=found.only, blocks=blocks, where=where)
        values = _values(table, columns)
        with reader.batches(query, batch_bytes=BATCH_BYTES) as rows:
            cur.register("_chunk", rows)
            try:
                landed = insert("_chunk as n", values)
            except land.MISFITS as error:
                failure = error
            else:
                cur.unregister("_chunk")
                return landed
        with reader.batches(query) as rows:  # what the stream held is gone; read it again to find the column
            for batch in rows:
                _probe(table.raw, batch, values)
        raise TailraceError(f"{self.database}: {table.name} could not be copied ({type(failure).__name__}); run again")

    def _renew(self, cur: duckdb.DuckDBPyConnection, reader: Reader, item: _Renewal, step: _Step) -> None:
        """Bring ranges that were read under older snapshots up to this one; why this is exact stands at the top."""
        found, raw = item.found, item.found.table.raw
        shadow, origin = self._shadow(raw), f"{self.database}.{found.table.schema}"
        oldest = min(each.xmin for each in item.stale) % 2**32
        young = f"age(xmin) between 0 and age('{oldest}'::xid)"
        key = [column for column in raw.columns if column.name in raw.key]
        cur.execute(f"create or replace temp table _alive ({', '.join(f'{quote(c.name)} {c.duck_type}' for c in key)})")
        renewed = 0
        for blocks in joined(each.blocks for each in item.stale):
            renewed += self._append(cur, reader, found, step, blocks=blocks, where=young)
            self._stage(cur, reader, found, key, "_alive", blocks=blocks)
        same = " and ".join(f"o.{quote(name)} = n.{quote(name)}" for name in raw.key)
        own = "_airbyte_meta->>'origin' = $origin"
        cur.execute(
            f"delete from {shadow} as o where o.{own} and o._ab_cdc_lsn < $lsn "
            f"and (not exists (select 1 from _alive as n where {same}) or exists (select 1 from {shadow} as n "
            f"where {same} and n.{own} and n._ab_cdc_lsn > o._ab_cdc_lsn))",
            {"origin": origin, "lsn": self.lsn},
        )
        cur.execute("drop table _alive")
        left = cur.execute(f"select count(*) from {shadow} where {own}", {"origin": origin}).fetchall()
        self._copied.forget(cur, [found.table.name])
        self._copied.note(cur, [self._range(found, Blocks(), int(left[0][0]), xmin=step.xmin)])
        self._tally.add(item, {found.table.name: renewed})

    def _check_files(self, reader: Reader, members: Sequence[_Found]) -> None:
        """Refuse what was read from another file than the one that the snapshot knows.

        Truncating and rewriting (most of ``alter table``, ``vacuum full``, ``cluster``) give a table a new file, which
        shows nothing, or rows elsewhere, to snapshots from before. Whoever has read a table holds it in place.
        """
        heaps = {oid: (file, each.table.name) for each in members for oid, file in each.heaps}
        if not heaps:
            return
        listed = ", ".join(f"({oid:d}, {file:d})" for oid, (file, _) in heaps.items())
        moved = reader.value(
            f"select min(oid) from (values {listed}) as known (oid, file) "
            "where pg_relation_filenode(oid::oid)::bigint is distinct from file"
        )
        if moved is not None:
            raise TailraceError(
                f"{self.database}: {heaps[moved][1]} was rewritten or truncated while it was copied; run the pass again"
            )

    def _range(self, found: _Found, blocks: Blocks, rows: int, *, xmin: int) -> Range:
        """Of what is copied now."""
        table = found.table
        return Range(
            relation=table.name,
            raw=table.raw.label,
            shape=self._shape(table),
            files=found.files,
            lsn=self.lsn,
            xmin=xmin,
            first=blocks.first,
            last=blocks.last,
            rows=rows,
        )

    def _drop(self, con: duckdb.DuckDBPyConnection, raw: RawTable, names: Sequence[str], *, keep: bool = False) -> None:
        """Drop the rows of relations from their shadow, and the shadow (but for ``keep``) when no others are in it."""
        if not keep and not self._copied.others(con, raw, names):
            con.execute(f"drop table if exists {self._shadow(raw)}")
            return
        origins = [f"{self.database}.{name.removesuffix('.' + raw.name)}" for name in names]
        con.execute(
            f"delete from {self._shadow(raw)} where _airbyte_meta->>'origin' in (select unnest($origins::varchar[]))",
            {"origins": origins},
        )


@dataclass
class _Step:
    """What the workers of one step share."""

    work: deque[_Work]
    extracted_at: datetime
    deadline: float
    xmin: int
    stopped: bool = False

    def items(self) -> Iterator[_Work]:
        """The next piece of work, the first one in any case, until the step is over or another worker failed."""
        first = True
        while not self.stopped and (first or time.monotonic() < self.deadline):
            first = False
            try:
                yield self.work.popleft()
            except IndexError:
                return


@dataclass
class _Tally:
    """How far the workers are, told every few seconds."""

    database: str
    about: int
    progress: Callable[[str], None]
    rows: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def add(self, item: _Work, rows: dict[str, int]) -> None:
        with self.lock:
            for found in item.members:
                name = found.table.name
                self.rows[name] = self.rows.get(name, 0) + rows.get(name, 0)
                share = item.heap_bytes if len(item.members) == 1 else found.heap_bytes
                self.bytes[name] = self.bytes.get(name, 0) + share

    def tell(self) -> None:
        with self.lock:
            now = time.monotonic()
            if now - self.told < _NEWS_SECONDS:
                return
            self.told = now
            rows, read = sum(self.rows.values()), sum(self.bytes.values()) / 1e6
        about = f" of about {self.about:,}" if self.about > rows else ""
        self.progress(f"{self.database}: {rows:,}{about} rows copied, {read / (now - self.began):,.0f} MB/s")


@contextmanager
def _bounded(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A look over all keys of a large copy spills to disk instead of growing."""
    ((before,),) = con.execute("select current_setting('memory_limit')").fetchall()
    con.execute("set memory_limit = '256MB'")
    yield
    con.execute(f"set memory_limit = '{before}'")


def _by_raw_table(relations: Sequence[SourceTable]) -> dict[RawTable, list[SourceTable]]:
    parts: dict[RawTable, list[SourceTable]] = {}
    for table in relations:
        parts.setdefault(table.raw, []).append(table)
    return parts


def _columns(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[tuple[str, str]]:
    """Names and types of a table's columns; none of a table that does not exist."""
    return con.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database() "
        "and schema_name = $schema and table_name = $table order by column_index",
        {"schema": schema, "table": table},
    ).fetchall()


def _grouped(members: Sequence[_Found]) -> Iterator[_Group]:
    group: list[_Found] = []
    for found in members:
        if group and (len(group) == _GROUP_TABLES or sum(each.blocks for each in group) + found.blocks > _GROUP_BLOCKS):
            yield _Group(tuple(group))
            group = []
        group.append(found)
    if group:
        yield _Group(tuple(group))


def _values(table: SourceTable, columns: Sequence[RawColumn]) -> dict[str, str]:
    """How each column lands. A column that this schema's table does not have, another one's has, is NULL."""
    return {
        column.name: landed_value(table, column, f"n.{quote(column.name)}")
        if column.name in table.types
        else f"null::{column.duck_type}"
        for column in columns
    }


def _ids(cur: duckdb.DuckDBPyConnection) -> str:
    """The beginning of row ids that nothing else in this warehouse uses."""
    ((piece,),) = cur.execute("select nextval('tailrace.copied_pieces')").fetchall()
    return f"c{piece:x}-"


def _probe(raw: RawTable, rows: pa.RecordBatch, values: dict[str, str]) -> None:
    """Raise TailraceError that names the column if a value of ``rows`` does not land."""
    table = pa.Table.from_batches([rows])
    with duckdb.connect() as probe:
        probe.execute("set TimeZone = 'UTC'")
        probe.register("_incoming", table)
        selected = [f"{values[name]} as {quote(name)}" for name in rows.schema.names]
        try:
            probe.execute(f"create temp table _landed as select {', '.join(selected)} from _incoming as n")
        except land.MISFITS as error:
            raise TailraceError(land.misfit(raw, [table], values, error)) from None


def _at_once(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs in threads of their own; the first failure is raised when all have ended."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()
