"""What of a rollup changed, found by content hashes in DuckDB.

A slice is a tenant's rows of one day, or all of its rows where the key has no date. A part is the slices of one month.
A slice's hash is the sum, mod 2^64, of its rows' hashes; a part's that of its slices'. Parts are compared first, then
the slices of those that differ. DuckDB's ``hash`` may change with its version: then everything is compared row by row
once, in Postgres, and what is the same is not written.
"""

# ruff: noqa: S608 - names are the contracts', each quoted; values are bound

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from serving import rowcopy
from serving.contract import TENANT, Column, TableContract
from settings import TailraceError
from warehouse import quote

NO_DAY = "0001-01-01"
"""The day, and the month, of slices that hold all rows of a tenant."""
PART = (Column(name=TENANT, type="uuid"), Column(name="part", type="date"))
TOUCHED = (Column(name="number", type="bigint"), *PART)
SLICE = (TOUCHED[0], Column(name="day", type="date"), Column(name="hash", type="bigint"))
"""``number`` is that of a part among those touched, which is shorter to compare by than a tenant and a month."""
PART_HASH = (*PART, Column(name="hash", type="bigint"))
PART_ARRAYS = (*PART_HASH, Column(name="days", type="date[]"), Column(name="hashes", type="bigint[]"))
CHANGED = (*PART, *SLICE[1:], Column(name="was", type="bigint"))

_SUM = "(sum(h)::hugeint % 18446744073709551616 - 9223372036854775808)::bigint"
SUM_OF_SLICES = _SUM.replace("sum(h)::hugeint", "sum(hash::hugeint + 9223372036854775808)")
# Rows of a tenant whose id is no uuid are in the warehouse too, and are not published.
_ID = "try(unhex(replace(tenant, '-', '')))"


@dataclass(frozen=True, kw_only=True)
class Rollup:
    """One rollup in DuckDB: ``relation`` is quoted SQL that can be selected from; ``alias`` tells two of it apart."""

    connection: duckdb.DuckDBPyConnection
    contract: TableContract
    relation: str
    alias: str = ""

    def _name(self, what: str) -> str:
        return f"temp.{quote(f'{what}_{self.alias}{self.contract.name}')}"

    def _make(self, what: str, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Keep what a query finds until it is made again, or the connection ends."""
        name = self._name(what).removeprefix("temp.")
        return self._run(f"create or replace temp table {name} as {query}", parameters)

    @property
    def _day(self) -> str:
        return f"{quote(self.contract.day)}::date" if self.contract.day else f"date '{NO_DAY}'"

    def measure(self) -> dict[str, int]:
        """Hash every part; how many rows each tenant has. Raises TailraceError when the table does not fit."""
        self._make(
            "parts",
            f"select *, {_ID} as tenant_id from (select tenant, part, {_SUM} as hash, count(*) as rows "
            f"from ({self._hashed()}) group by all)",
        )
        return dict(self._run(f"select tenant, sum(rows)::bigint from {self._name('parts')} group by all").fetchall())

    def touched(self, stored: pa.Table, tenants: Collection[str]) -> pa.Table:
        """The parts of ``tenants`` that differ from those published, given as ``PART_HASH``; as ``TOUCHED``."""
        self.connection.register("stored_parts", stored)
        self._make(
            "touched",
            "select row_number() over () as number, tenant, tenant_id, part, new.hash is not null as present "
            f"from (from {self._name('parts')} where tenant in (select unnest($tenants::varchar[]))) as new "
            "full join stored_parts as old using (tenant_id, part) where new.hash is distinct from old.hash",
            {"tenants": list(tenants)},
        )
        self.connection.unregister("stored_parts")
        return self.connection.sql(f"select number, tenant_id, part from {self._name('touched')}").to_arrow_table()

    def hash_touched(self) -> None:
        """Hash every slice of the parts touched."""
        # Rows of a tenant that is not to be published here may well be in the warehouse.
        touched = f"(from {self._name('touched')} where present) as touched"
        first, last = self._run(f"select min(part), max(part) from {touched}").fetchone() or (None, None)
        self._make(
            "fresh",
            f"select number, day, {_SUM} as hash from ({self._hashed()} "
            f"where {self._day} >= $first::date and {self._day} < $last::date + interval 1 month) as every "
            f"join {touched} using (tenant, part) group by all",
            {"first": first, "last": last},
        )

    def compare(self, stored: pa.Table) -> int:
        """Find the slices that differ in the parts touched, which are hashed, given those published as ``SLICE``.

        Returns how many.
        """
        self.connection.register("stored_slices", stored)
        found = self._make(
            "changed",
            f"select number, day, new.hash, old.hash as was from {self._name('fresh')} as new "
            "full join stored_slices as old using (number, day) where new.hash is distinct from old.hash",
        ).fetchone()
        self.connection.unregister("stored_slices")
        return int(found[0]) if found else 0

    def changed(self) -> Iterator[pa.RecordBatch]:
        """The slices found different, as ``CHANGED``; the hash of one that is gone, or was not there, is null."""
        query = f"select tenant_id, part, day, hash, was from {self.found_different} order by all"
        return rowcopy.batches(self.connection.sql(query))

    @property
    def found_different(self) -> str:
        """The slices found different, in DuckDB's SQL: the columns of ``changed``, and ``tenant`` as it is written."""
        return f"(from {self._name('changed')} join {self._name('touched')} using (number))"

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
        """The parts touched that are not gone, once their slices are hashed, as ``PART_ARRAYS``."""
        return self._arrays(f"(from {self._name('fresh')} join {self._name('touched')} using (number))")

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
        return self._arrays(
            f"(select {_ID} as tenant_id, part, day, {_SUM} as hash from ({self._hashed()}) as every "
            "where tenant in (select unnest($tenants::varchar[])) group by tenant, part, day)",
            {"tenants": list(tenants)},
        )

    def _arrays(self, found: str, parameters: dict[str, Any] | None = None) -> Iterator[pa.RecordBatch]:
        # Both lists see a part's slices in one order, whichever; sorting them costs more than all the rest. Parts with
        # as many slices come together, for they go to Postgres in one piece.
        return rowcopy.batches(
            self.connection.sql(
                f"select tenant_id, part, {SUM_OF_SLICES} as hash, list(day) as days, list(hash) as hashes "
                f"from {found} as slices group by tenant_id, part order by count(*), tenant_id, part",
                params=parameters,
            )
        )

    def _of(self, alias: str) -> str:
        return f"{alias}.{self._day}" if self.contract.day else self._day

    def _hashed(self) -> str:
        """Each row's tenant, part, day and hash. The outer hash keeps sums from cancelling out."""
        values = ", ".join(rowcopy.typed(column) for column in self.contract.columns if column.name != TENANT)
        return (
            f"select {quote(TENANT)}::varchar as tenant, date_trunc('month', {self._day})::date as part, "
            f"{self._day} as day, hash(hash({values})) as h from {self.relation}"
        )

    def _run(self, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        try:
            return self.connection.execute(query, parameters)
        except (duckdb.BinderException, duckdb.CatalogException):
            raise TailraceError(
                f"{self.relation.replace(chr(34), '')}: the warehouse's table does not fit its contract, "
                "or is not there; build it with dbt first"
            ) from None
