"""Pages of JSON objects become rows of raw tables, with the cursor that covers them, in one transaction.

A field that no contract classifies lands restricted, as JSON: it is named to the operator, wiped when its row is
deleted, and goes no further than raw. Rows of another region's subjects never land.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.land import (
    META,
    RawColumn,
    RawTable,
    cast,
    ensure_table,
    landed_tables,
    present_columns,
    registered,
    screen,
    upsert,
)
from ingestion.rest.residency import Residency
from pii_policies import Contracts
from settings import Redaction
from warehouse import DuckDBWarehouse, positions, quote, transaction

Progress = Callable[[str], None]
RESTRICTED = "JSON"
_MEMORY = "160MB"  # DuckDB's part while it writes; what a table of millions needs beyond that spills
BATCH = 10_000  # rows a transaction: large enough that opening the file is nothing, small enough for any memory


@dataclass(kw_only=True)
class SyncReport:
    """What one sync did. Counts are of objects, a stream; ``bytes`` of the rows landed; ``seconds`` of wall time."""

    source: str
    mode: str = "incremental"
    """``full`` when every stream was listed, else ``incremental``"""
    note: str | None = None
    """why a source that was landed before was listed in full again"""
    landed: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    """objects that belong to another region and were left out"""
    unclassified: dict[str, Counter[str]] = field(default_factory=dict)
    """stream → field → objects: fields that no contract classifies, landed restricted"""
    repaired: Counter[str] = field(default_factory=Counter)
    """rows that a comparison with the whole found to differ, or to be gone, and mended"""
    skipped: Counter[str] = field(default_factory=Counter)
    """records that cannot be read, left out until they can"""
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return self.landed.total()


@dataclass(frozen=True)
class Change:
    """The state of one object: its row, and the subject that decides its region.

    ``subject`` None: nobody's in particular, so the unattributed region's; ``everywhere``: every region's, as a
    catalogue is.
    """

    row: Mapping[str, str | None]
    deleted: bool = False
    subject: str | None = None
    everywhere: bool = False


class Batch:
    """Changes that will commit together: at most one an object (the last), and the residency that they state."""

    def __init__(self) -> None:
        self.changes: dict[str, dict[str, Change]] = {}
        self.stated: dict[str, bool] = {}
        self.families: dict[tuple[str, str], dict[str, set[str]]] = {}
        self.size = 0

    def put(self, stream: str, key: str, change: Change) -> None:
        rows = self.changes.setdefault(stream, {})
        rows.pop(key, None)
        rows[key] = change
        self.size += 1

    def adopt(self, stream: str, column: str, parent: str, children: Iterable[str]) -> None:
        """State that of the rows of ``stream`` whose ``column`` names ``parent`` there are these and no others."""
        family = self.families.setdefault((stream, column), {})
        now = set(children)
        for gone in family.get(parent, set()) - now:
            self.changes.get(stream, {}).pop(gone, None)
        family[parent] = now

    def subjects(self) -> set[str]:
        return {c.subject for rows in self.changes.values() for c in rows.values() if c.subject is not None}


class Lander:
    """Lands the batches of one source. Every raw table of a REST source is keyed by one column, the object's id."""

    def __init__(
        self,
        *,
        source: str,
        contracts: Contracts,
        residency: Residency,
        warehouse: DuckDBWarehouse,
        report: SyncReport,
        progress: Progress | None = None,
        account: str = "",
        omit: Mapping[str, frozenset[str]] | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        """``source`` names the contract whose tables are the streams.

        ``account`` tells rows of several accounts apart, in ``_airbyte_meta``; ``omit`` has for a stream the fields
        that are known and not wanted; ``redaction`` says what texts pass before they land.
        """
        tables = contracts.raw_tables(source)
        self.account = account
        self._omit = omit or {}
        landed = landed_tables(contracts, source, warehouse=warehouse, redaction=redaction)
        self.tables = {table.name: table for table in landed}
        self.residency = residency
        self.report = report
        self._source = source
        self._classified = {t.name: frozenset(c.name for c in t.columns if c.derived is None) for t in tables}
        self._columns = {
            name: [(column.name, column.duck_type == "JSON") for column in table.columns]
            for name, table in self.tables.items()
        }
        self._warehouse = warehouse
        self._progress = progress

    def prepare(self, streams: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Create what is missing in the warehouse; the stored position of each of ``streams``."""
        with self._writer() as con, transaction(con):
            for table in self.tables.values():
                present = present_columns(con, table)
                _classify(con, table, present)
                ensure_table(con, table)
                known = {column.name for column in table.columns} | {name for name, _ in META} | table.excluded
                self._restrict(table.name, [n for n, kind in present.items() if n not in known and kind == RESTRICTED])
            self.residency.ensure(con)
            return {stream: positions.read(con, self._source, stream) for stream in streams}

    def row(self, stream: str, fields: Mapping[str, Any]) -> dict[str, str | None]:
        """The landing columns of an object as text, which the raw table casts to its types."""
        known = self._classified[stream]
        omitted = self._omit.get(stream, frozenset())
        strange = [name for name in fields if name not in known and name not in omitted]
        given = fields.get
        row = {  # most values are texts or none: a call for each would cost more than all the rest
            name: value
            if (value := given(name)) is None or (value.__class__ is str and not is_json)
            else _text(value, is_json=is_json)
            for name, is_json in self._columns[stream]
        }
        if strange:
            self.report.unclassified.setdefault(stream, Counter()).update(strange)
            taken = self._taken(stream)
            for name in strange:
                if fields[name] is not None and name.lower() not in taken and not name.startswith("_"):
                    row[name] = _text(fields[name], is_json=True)
        return row

    def land(
        self,
        batch: Batch,
        *,
        stream: str,
        position: Callable[[set[str]], dict[str, Any]],
        region_of: Callable[[str], object],
        generation: int = 0,
        changed_only: bool = False,
        then: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
    ) -> dict[str, Any]:
        """Commit the batch and, with it, the position of ``stream``, which is returned.

        ``position`` makes it, given the subjects that changed their region; ``region_of`` asks the source for the
        region of a subject that nobody stated, while no lease is held; ``changed_only`` leaves rows alone that the
        table holds as they are; ``then`` runs last in the same transaction.
        """
        asked: dict[str, bool] = {}
        while True:
            with self._writer() as con:
                decided = self.residency.known(con, batch.subjects() | set(batch.stated))
                moved = {s for s, ours in batch.stated.items() if decided.get(s, ours) != ours}
                decided |= asked | batch.stated
                unknown = batch.subjects() - set(decided)
                if not unknown:
                    with transaction(con):
                        self.residency.record(con, asked | batch.stated)
                        for name, changes in batch.changes.items():
                            self._write(con, name, changes, decided, generation=generation, changed_only=changed_only)
                        for (name, column), family in batch.families.items():
                            self._part(con, name, column, family, generation=generation)
                        if then is not None:
                            then(con)
                        stored = position(moved)
                        positions.write(con, self._source, stream, stored)
                    return stored
            for subject in unknown:
                asked[subject] = self.residency.ours(region_of(subject))

    def tombstone(self, con: duckdb.DuckDBPyConnection, stream: str, ids: list[str], *, generation: int = 0) -> None:
        """Mark rows that the table holds as deleted: they keep their values but for the personal ones."""
        table = self.tables[stream]
        deleted = pa.array([True] * len(ids), pa.bool_())
        columns = {_key(table): pa.array(ids, pa.string()), "_deleted": deleted}
        rows = pa.table(columns | self._origin(len(ids)))
        landed = upsert(con, table, rows, extracted_at=positions.stamp(con), generation=generation)
        self.report.deleted[stream] += landed.deleted

    def tombstone_where(
        self, con: duckdb.DuckDBPyConnection, stream: str, condition: str, values: list[Any], *, generation: int = 0
    ) -> None:
        """``tombstone`` for the account's live rows that meet a SQL condition of ours; its values are bound."""
        table = self.tables[stream]
        live = f"select {quote(_key(table))} from {table.sql} where _ab_cdc_deleted_at is null"  # noqa: S608
        if self.account:
            live, values = f"{live} and _airbyte_meta->>'origin' = ?", [self.account, *values]
        ids = [key for (key,) in con.execute(f"{live} and ({condition})", values).fetchall()]
        if ids:
            self.tombstone(con, stream, ids, generation=generation)

    def remove(self, stream: str, ids: Iterable[str], *, generation: int = 0) -> None:
        """``tombstone`` for those of ``ids`` that the table holds, in a transaction of its own."""
        with self._writer() as con, transaction(con):
            held = list(self.held(con, stream, ids))
            if held:
                self.tombstone(con, stream, held, generation=generation)

    def held(
        self, con: duckdb.DuckDBPyConnection, stream: str, ids: Iterable[str], value: str | None = None
    ) -> dict[str, Any]:
        """Of ``ids`` those that the stream's table holds and the source has not deleted, with the column ``value``."""
        table = self.tables[stream]
        key = quote(_key(table))
        live = f"select {key}, {quote(value) if value else key} from {table.sql} where _ab_cdc_deleted_at is null"  # noqa: S608
        rows = con.execute(f"{live} and {key} in (select unnest(?::varchar[]))", [list(ids)]).fetchall()
        return {str(key): found for key, found in rows}

    def reader(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self._warehouse.reader(f"landing {self._source}")

    def value(self, stream: str, expression: str, condition: str, values: list[Any]) -> Any:
        """An aggregate, in SQL of ours, over the account's live rows that meet a condition; its values are bound."""
        table = self.tables[stream].sql
        sql = f"select {expression} from {table} where _ab_cdc_deleted_at is null and ({condition})"  # noqa: S608
        if self.account:
            sql, values = f"{sql} and _airbyte_meta->>'origin' = ?", [*values, self.account]
        with self.reader() as con:
            return con.execute(sql, values).fetchall()[0][0]

    def _writer(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self._warehouse.writer(f"landing {self._source}", on_wait=self._progress, memory_limit=_MEMORY)

    def _write(
        self,
        con: duckdb.DuckDBPyConnection,
        stream: str,
        changes: Mapping[str, Change],
        decided: Mapping[str, bool],
        *,
        generation: int,
        changed_only: bool,
    ) -> None:
        ours, foreign = {}, []
        for key, change in changes.items():
            unattributed = change.subject is None and self.residency.ours(None)
            if change.everywhere or unattributed or (change.subject is not None and decided[change.subject]):
                ours[key] = change
            else:
                foreign.append(key)
        if foreign:
            self.report.filtered[stream] += len(foreign)
            left = list(self.held(con, stream, foreign))  # it was ours before, and has moved to another region
            if left:
                self.tombstone(con, stream, left, generation=generation)
        if not ours:
            return
        new = {name for change in ours.values() for name in change.row} - set(self._names(stream))
        if new:
            self._restrict(stream, new)
            ensure_table(con, self.tables[stream])
        table = self.tables[stream]
        if self.account:
            ours = self._without_foreign(con, stream, ours)
        columns = {
            column.name: pa.array([change.row.get(column.name) for change in ours.values()], pa.string())
            for column in table.columns
        }
        columns["_deleted"] = pa.array([change.deleted for change in ours.values()], pa.bool_())
        rows = pa.table(columns | self._origin(len(ours)))
        if changed_only:
            rows = _changed(con, table, rows)
        landed = upsert(con, table, rows, extracted_at=positions.stamp(con), generation=generation)
        self.report.landed[stream] += landed.upserted
        self.report.deleted[stream] += landed.deleted
        self.report.bytes += landed.bytes
        if self._progress is not None:
            self._progress(f"{self._source} {stream}: {self.report.landed[stream]:,} rows")

    def _part(
        self,
        con: duckdb.DuckDBPyConnection,
        stream: str,
        column: str,
        family: Mapping[str, set[str]],
        *,
        generation: int,
    ) -> None:
        """Mark as deleted the children that their parents no longer have."""
        key, parent = quote(_key(self.tables[stream])), quote(column)
        gone = f"{parent} in (select unnest(?::varchar[])) and {key} not in (select unnest(?::varchar[]))"
        children = sorted({child for each in family.values() for child in each})
        self.tombstone_where(con, stream, gone, [sorted(family), children], generation=generation)

    def _without_foreign(
        self, con: duckdb.DuckDBPyConnection, stream: str, ours: Mapping[str, Change]
    ) -> dict[str, Change]:
        """Leave out rows whose key another account holds: keys that people choose, as of coupons, may collide."""
        table = self.tables[stream]
        key = quote(_key(table))
        held = con.execute(
            f"select {key} from {table.sql} where _ab_cdc_deleted_at is null "  # noqa: S608
            f"and {key} in (select unnest(?::varchar[])) and coalesce(_airbyte_meta->>'origin', ?) <> ?",
            [list(ours), self.account, self.account],
        ).fetchall()
        foreign = {str(row[0]) for row in held}
        self.report.skipped[stream] += len(foreign)
        return {name: change for name, change in ours.items() if name not in foreign}

    def _origin(self, count: int) -> dict[str, pa.Array]:
        return {"_origin": pa.array([self.account] * count, pa.string())} if self.account else {}

    def _names(self, stream: str) -> list[str]:
        return [column.name for column in self.tables[stream].columns]

    def _taken(self, stream: str) -> set[str]:
        """Names, in lower case, that a restricted column cannot have."""
        own = {name for name, _ in self._columns[stream]} | self._classified[stream]
        return {name.lower() for name in own}

    def _restrict(self, stream: str, names: Iterable[str]) -> None:
        """Add restricted columns to what lands; of names that differ in case only, the first."""
        table = self.tables[stream]
        taken = {column.name.lower() for column in table.columns}
        fresh = []
        for name in sorted(names):
            if name.lower() not in taken:
                taken.add(name.lower())
                fresh.append(name)
        columns = (*table.columns, *(RawColumn(name, RESTRICTED) for name in fresh))
        self.tables[stream] = replace(table, columns=columns, personal=table.personal | set(fresh))


def _classify(con: duckdb.DuckDBPyConnection, table: RawTable, present: Mapping[str, str]) -> None:
    """Give columns that landed restricted, and that the contract classifies now, their type."""
    for column in table.columns:
        if present.get(column.name) == RESTRICTED and column.duck_type != RESTRICTED:
            name = quote(column.name)
            value = cast(f"({name}->>'$')", column, lenient=True)
            con.execute(f"alter table {table.sql} alter column {name} type {column.duck_type} using {value}")


def _text(value: Any, *, is_json: bool) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and not is_json:
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _key(table: RawTable) -> str:
    (name,) = table.key
    return name


def _changed(con: duckdb.DuckDBPyConnection, table: RawTable, rows: pa.Table) -> pa.Table:
    """Of ``rows`` those that differ from what the table holds. A deleted row that is known as such has not changed."""
    key = quote(_key(table))
    moved = " or coalesce(o._airbyte_meta->>'origin', '') <> n._origin" if "_origin" in rows.column_names else ""
    same = " and ".join(
        f"{cast(f'n.{name}', column)} is not distinct from o.{name}"
        for column in table.columns
        for name in [quote(column.name)]
    )
    gone = "o._ab_cdc_deleted_at is not null"
    with registered(con, table, {"_candidates": rows}):
        candidates = screen(con, table, "_candidates", rows.column_names)
        return con.sql(
            f"select n.* from {candidates} as n left join {table.sql} as o on n.{key} = o.{key} "  # noqa: S608
            f"where o.{key} is null or n._deleted <> ({gone}) or (not n._deleted and not ({same})){moved}"
        ).to_arrow_table()
