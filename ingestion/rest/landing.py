"""Pages of JSON objects become rows of raw tables, with the cursor that covers them, in one transaction.

Only what the data contract classifies lands; other fields are counted. Rows of another region's subjects never land.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.land import RawTable, cast, ensure_table, raw_table, registered, screen, upsert
from ingestion.rest.residency import Residency
from pii_policies import Contracts
from warehouse import DuckDBWarehouse, positions, quote, transaction

Progress = Callable[[str], None]
BATCH = 2_500  # objects a transaction: large enough that opening the file is nothing, small enough for any memory


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
    """stream → field → objects: fields that no contract classifies, left out"""
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
        self.size = 0

    def put(self, stream: str, key: str, change: Change) -> None:
        rows = self.changes.setdefault(stream, {})
        rows.pop(key, None)
        rows[key] = change
        self.size += 1

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
    ) -> None:
        """``source`` names the contract whose tables are the streams."""
        tables = contracts.raw_tables(source)
        self.tables = {table.name: raw_table(table) for table in tables}
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
                ensure_table(con, table)
            self.residency.ensure(con)
            return {stream: positions.read(con, self._source, stream) for stream in streams}

    def row(self, stream: str, fields: Mapping[str, Any]) -> dict[str, str | None]:
        """The landing columns of an object as text, which the raw table casts to its types."""
        known = self._classified[stream]
        strange = [name for name in fields if name not in known]
        if strange:
            self.report.unclassified.setdefault(stream, Counter()).update(strange)
        return {name: _text(fields.get(name), is_json=is_json) for name, is_json in self._columns[stream]}

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
        rows = pa.table({_key(table): pa.array(ids, pa.string()), "_deleted": deleted})
        landed = upsert(con, table, rows, extracted_at=positions.stamp(con), generation=generation)
        self.report.deleted[stream] += landed.deleted

    def tombstone_where(
        self, con: duckdb.DuckDBPyConnection, stream: str, condition: str, values: list[Any], *, generation: int = 0
    ) -> None:
        """``tombstone`` for the live rows that meet a SQL condition of ours; its values are bound."""
        table = self.tables[stream]
        live = f"select {quote(_key(table))} from {table.sql} where _ab_cdc_deleted_at is null"  # noqa: S608
        ids = [key for (key,) in con.execute(f"{live} and {condition}", values).fetchall()]
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

    def _writer(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self._warehouse.writer(f"landing {self._source}", on_wait=self._progress)

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
        table = self.tables[stream]
        columns = {
            column.name: pa.array([change.row[column.name] for change in ours.values()], pa.string())
            for column in table.columns
        }
        columns["_deleted"] = pa.array([change.deleted for change in ours.values()], pa.bool_())
        rows = pa.table(columns)
        if changed_only:
            rows = _changed(con, table, rows)
        landed = upsert(con, table, rows, extracted_at=positions.stamp(con), generation=generation)
        self.report.landed[stream] += landed.upserted
        self.report.deleted[stream] += landed.deleted
        self.report.bytes += landed.bytes
        if self._progress is not None:
            self._progress(f"{self._source} {stream}: {self.report.landed[stream]:,} rows")


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
            f"where o.{key} is null or n._deleted <> ({gone}) or (not n._deleted and not ({same}))"
        ).to_arrow_table()
