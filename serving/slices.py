"""What of a rollup changed, found by content hashes in DuckDB.

A slice is a tenant's rows of one day, or all of its rows where the key has no date. A part is the slices that a bucket,
a sixteenth of the tenants, has in one week. A slice's hash is the sum, mod 2^64, of its rows' hashes; a part's that of
its slices'. Parts are compared first, then the slices of those that differ. DuckDB's ``hash`` may change with its
version: then everything is compared row by row once, in Postgres, and what is the same is not written.
"""

# ruff: noqa: S608 - names are the contracts', each quoted; values are bound

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from serving import rowcopy
from serving.contract import TENANT, Column, TableContract
from settings import TailraceError
from warehouse import quote

NO_DAY = "0001-01-01"
"""The day of slices that hold all rows of a tenant. A Monday, so that it is their week too."""
Part = tuple[date, int]
"""A week, by its Monday, and a bucket."""
PART_HASH = (
    Column(name="part", type="date"),
    Column(name="bucket", type="smallint"),
    Column(name="hash", type="bigint"),
)
SLICE = (Column(name=TENANT, type="uuid"), Column(name="day", type="date"), Column(name="hash", type="bigint"))
SLICE_ARRAYS = tuple(
    Column(name=name, type=f"{column.type}[]")
    for name, column in zip(("tenants", "days", "hashes"), SLICE, strict=True)
)
PART_ARRAYS = (*PART_HASH, *SLICE_ARRAYS)
CHANGED = (*SLICE[:-1], Column(name="was", type="bigint"))

# Of a sum that does not overflow the lower half, which is the sum mod 2^64, as a signed number.
_SUM = "((sum(h)::hugeint & 18446744073709551615::hugeint) - 9223372036854775808)::bigint"
SUM_OF_SLICES = _SUM.replace("sum(h)::hugeint", "sum(hash::hugeint + 9223372036854775808)")
# Rows of a tenant whose id is no uuid are in the warehouse too, and are not published.
_ID = "try(unhex(replace(tenant, '-', '')))"
# The last digit, as the first ones of an id may tell its time.
BUCKET = "(instr('0123456789ABCDEF', right(hex(tenant_id), 1)) - 1)::smallint"
PART = "date_trunc('week', day)::date"


@dataclass(kw_only=True)
class Rollup:
    """One rollup in DuckDB: ``relation`` is quoted SQL that can be selected from; ``alias`` tells two of it apart."""

    connection: duckdb.DuckDBPyConnection
    contract: TableContract
    relation: str
    alias: str = ""
    since: date = field(init=False)
    """The Monday that the past ends before, once it is measured."""

    def _name(self, what: str) -> str:
        return f"temp.{quote(f'{what}_{self.alias}{self.contract.name}')}"

    def _make(self, what: str, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Keep what a query finds until it is made again, or the connection ends."""
        name = self._name(what).removeprefix("temp.")
        return self._run(f"create or replace temp table {name} as {query}", parameters)

    @property
    def _since(self) -> str:
        return f"date '{self.since}'"

    @property
    def _day(self) -> str:
        return f"{quote(self.contract.day)}::date" if self.contract.day else f"date '{NO_DAY}'"

    def measure(self) -> dict[str, int]:
        """Hash every tenant's rows; how many each has. Raises TailraceError when the table does not fit.

        The last two weeks, where most changes are, are hashed by slices, and all that was before, the past, as one.
        """
        (since,) = self._one(
            f"select greatest({PART} - 7, date '{NO_DAY}') from (select max({self._day}) as day from {self.relation})"
        )
        self.since = since
        self._run(f"drop table if exists {self._name('past')}")
        self._make(
            "measured",
            f"select tenant, greatest(day, {self._since} - 1) as day, {_SUM} as hash, count(*) as rows "
            f"from ({self._hashed()}) group by all",
        )
        return dict(
            self._run(f"select tenant, sum(rows)::bigint from {self._name('measured')} group by all").fetchall()
        )

    def touched(self, stored: pa.Table, tenants: Collection[str]) -> list[Part]:
        """The parts that, with the rows of ``tenants`` alone, differ from those published, given as ``PART_HASH``."""
        self._number(tenants)
        self.connection.register("stored_parts", stored)
        concerned = f"join {self._name('concerned')} using (tenant)"
        measured = f"select {PART} as part, bucket, hash from {self._name('measured')} {concerned}"
        touched = self._find_touched(
            measured, f"select greatest(part, {self._since} - 7) as part, bucket, hash from stored_parts"
        )
        if any(part < self.since for part, _ in touched):
            self._run(
                f"create temp table if not exists {self._name('past')} as select tenant, {PART} as part, "
                f"{_SUM} as hash from ({self._hashed()} where {self._day} < {self._since}) group by all"
            )
            touched = self._find_touched(
                f"{measured} where day >= {self._since} "
                f"union all select part, bucket, hash from {self._name('past')} {concerned}",
                "from stored_parts",
            )
        self.connection.unregister("stored_parts")
        return touched

    def _find_touched(self, measured: str, stored: str) -> list[Part]:
        parts = f"select part, bucket, {SUM_OF_SLICES} as hash from ({{}}) group by all"
        self._make(
            "touched",
            f"select part, bucket, new.hash is not null as present from ({parts.format(measured)}) as new "
            f"full join ({parts.format(stored)}) as old using (part, bucket) where new.hash is distinct from old.hash",
        )
        return self._run(f"select part, bucket from {self._name('touched')}").fetchall()

    def _number(self, tenants: Collection[str]) -> None:
        """Number the tenants concerned, which is shorter to compare by than their ids."""
        # Rows of a tenant that is not to be published here may well be in the warehouse.
        self._make(
            "concerned",
            f"select row_number() over () as number, *, {BUCKET} as bucket from (select tenant, {_ID} as tenant_id "
            "from (select unnest($tenants::varchar[]) as tenant)) where tenant_id is not null",
            {"tenants": list(tenants)},
        )

    def hash_touched(self, touched: Collection[Part]) -> None:
        """Hash every slice of the parts ``touched``."""
        present = f"(from {self._name('touched')} where present) as touched"
        in_touched = f"join {self._name('concerned')} using (tenant) join {present} using (part, bucket)"
        self._make(
            "fresh",
            f"select number, day, hash from (select tenant, day, {PART} as part, hash from {self._name('measured')} "
            f"where day >= {self._since}) {in_touched}",
        )
        if past := [part for part, _ in touched if part < self.since]:
            self._run(
                f"insert into {self._name('fresh')} select number, day, {_SUM} as hash from ("
                f"select *, {PART} as part from ({self._hashed()} "
                f"where {self._day} >= $first::date and {self._day} < $last::date + interval 7 days)) as every "
                f"{in_touched} group by all",
                {"first": min(past), "last": max(past)},
            )

    def compare(self, stored: pa.Table, *, keep: Collection[str] = ()) -> int:
        """Find the slices that differ in the parts touched, which are hashed, given those published as ``SLICE``.

        Those of tenants to ``keep`` stay as they are. Returns how many differ.
        """
        kept = pc.is_in(stored[TENANT], pa.array([UUID(tenant).bytes for tenant in keep], stored[TENANT].type))
        self.connection.register("kept_slices", stored.filter(kept))
        self.connection.register("stored_slices", stored.filter(pc.invert(kept)))
        found = self._make(
            "changed",
            f"select number, old.tenant_id, day, new.hash, old.hash as was from {self._name('fresh')} as new full join "
            "(select number, tenant_id, day, hash "
            f"from stored_slices left join {self._name('concerned')} using (tenant_id)) as old "
            "using (number, day) where new.hash is distinct from old.hash",
        ).fetchone()
        self.connection.unregister("stored_slices")
        return int(found[0]) if found else 0

    def changed(self) -> Iterator[pa.RecordBatch]:
        """The slices found different, as ``CHANGED``; what one was that was not there is null."""
        return rowcopy.batches(self.connection.sql(f"select tenant_id, day, was from {self.found_different}"))

    @property
    def found_different(self) -> str:
        """The slices found different, in DuckDB's SQL: the columns of ``changed``; ``hash``, null where one is gone;
        and ``tenant`` as it is written, null where it is not at home here."""
        return (
            "(select coalesce(concerned.tenant_id, changed.tenant_id) as tenant_id, tenant, day, hash, was "
            f"from {self._name('changed')} as changed left join {self._name('concerned')} as concerned using (number))"
        )

    def rows_changed(self, columns: str | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of the slices found different: ``columns`` in DuckDB's SQL, or what ``rowcopy.copy_in`` takes."""
        return rowcopy.batches(
            self.connection.sql(
                f"select {columns or rowcopy.select_list(self.contract.columns)} from {self.relation} as source "
                f"semi join (from {self.found_different} where hash is not null) as changed "
                f"on source.{quote(TENANT)}::varchar = changed.tenant and {self._of('source')} = changed.day"
            )
        )

    def parts_touched(self) -> Iterator[pa.RecordBatch]:
        """The parts touched that are not gone, once they are compared, as ``PART_ARRAYS``."""
        return self._arrays(
            f"(select tenant_id, bucket, day, hash from {self._name('fresh')} "
            f"join {self._name('concerned')} using (number) "
            f"union all select tenant_id, {BUCKET}, day, hash from kept_slices)"
        )

    def rows(self, tenants: Collection[str]) -> Iterator[pa.RecordBatch]:
        """All rows of these tenants."""
        return rowcopy.batches(
            self.connection.sql(
                f"select {rowcopy.select_list(self.contract.columns)} from {self.relation} "
                f"where {quote(TENANT)}::varchar in (select unnest($tenants::varchar[]))",
                params={"tenants": list(tenants)},
            )
        )

    def parts(self, tenants: Collection[str]) -> Iterator[pa.RecordBatch]:
        """All parts of these tenants, as ``PART_ARRAYS``."""
        self._number(tenants)
        return self._arrays(
            f"(select tenant_id, bucket, day, hash from (select number, day, {_SUM} as hash "
            f"from ({self._hashed()}) join {self._name('concerned')} using (tenant) group by all) "
            f"join {self._name('concerned')} using (number))"
        )

    def _arrays(self, found: str) -> Iterator[pa.RecordBatch]:
        # The lists see a part's slices in one order, whichever; sorting them costs more than all the rest.
        return rowcopy.batches(
            self.connection.sql(
                f"select {PART} as part, bucket, {SUM_OF_SLICES} as hash, list(tenant_id) as tenants, "
                f"list(day) as days, list(hash) as hashes from {found} as slices group by 1, 2"
            )
        )

    def _of(self, alias: str) -> str:
        return f"{alias}.{self._day}" if self.contract.day else self._day

    def _hashed(self) -> str:
        """Each row's tenant, day and hash. The outer hash keeps sums from cancelling out."""
        values = ", ".join(rowcopy.typed(column) for column in self.contract.columns if column.name != TENANT)
        return (
            f"select {quote(TENANT)}::varchar as tenant, {self._day} as day, hash(hash({values})) as h "
            f"from {self.relation}"
        )

    def _one(self, query: str) -> tuple[Any, ...]:
        (row,) = self._run(query).fetchall()
        return tuple(row)

    def _run(self, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        try:
            return self.connection.execute(query, parameters)
        except (duckdb.BinderException, duckdb.CatalogException):
            raise TailraceError(
                f"{self.relation.replace(chr(34), '')}: the warehouse's table does not fit its contract, "
                "or is not there; build it with dbt first"
            ) from None
