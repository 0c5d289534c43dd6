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
PART_HASH = (*PART, Column(name="hash", type="bigint"))
SLICE = (*PART, Column(name="day", type="date"), Column(name="hash", type="bigint"))

_SUM = "(sum(h)::hugeint % 18446744073709551616 - 9223372036854775808)::bigint"
_TEXT = "lower(hex(tenant_id))::uuid::varchar"


@dataclass(frozen=True, kw_only=True)
class Rollup:
    """One rollup in DuckDB: ``relation`` is quoted SQL that can be selected from; ``alias`` tells two of it apart."""

    connection: duckdb.DuckDBPyConnection
    contract: TableContract
    relation: str
    alias: str = ""

    @property
    def _parts(self) -> str:
        return self._temporary("parts")

    @property
    def _changed(self) -> str:
        return self._temporary("changed")

    def _temporary(self, what: str) -> str:
        return f"temp.{quote(f'{what}_{self.alias}{self.contract.name}')}"

    @property
    def _day(self) -> str:
        return f"{quote(self.contract.day)}::date" if self.contract.day else f"date '{NO_DAY}'"

    def measure(self) -> dict[str, int]:
        """Hash every part; how many rows each tenant has. Raises TailraceError when the table does not fit."""
        self._run(
            f"create or replace temp table {self._parts.removeprefix('temp.')} as "
            f"select tenant, part, {_SUM} as hash, count(*) as rows from ({self._hashed()}) group by all"
        )
        return dict(self._run(f"select tenant, sum(rows)::bigint from {self._parts} group by all").fetchall())

    def touched(self, stored: pa.Table, tenants: Collection[str]) -> pa.Table:
        """The parts of ``tenants`` that differ from those published, which are given as ``PART_HASH``."""
        self.connection.register("stored_parts", stored)
        self._run(
            f"create or replace temp table {self._temporary('touched').removeprefix('temp.')} as "
            "select tenant, part, new.hash is not null as present "
            f"from (select tenant, part, hash from {self._parts} where tenant in "
            "(select unnest($tenants::varchar[]))) as new "
            f"full join (select {_TEXT} as tenant, part, hash from stored_parts) as old using (tenant, part) "
            "where new.hash is distinct from old.hash",
            {"tenants": list(tenants)},
        )
        self.connection.unregister("stored_parts")
        query = f"select unhex(replace(tenant, '-', '')) as tenant_id, part from {self._temporary('touched')}"
        return self.connection.sql(query).to_arrow_table()

    def compare(self, stored: pa.Table) -> int:
        """Find the slices that differ in the parts touched, given those published as ``SLICE``; how many."""
        self.connection.register("stored_slices", stored)
        # Rows of a tenant that is not to be published here may well be in the warehouse.
        touched = f"(from {self._temporary('touched')} where present) as touched"
        found = self._run(
            f"create or replace temp table {self._changed.removeprefix('temp.')} as "
            "select tenant, part, day, new.hash from "
            f"(select tenant, part, day, {_SUM} as hash from ({self._hashed()}) as every "
            f"semi join {touched} using (tenant, part) group by all) as new "
            f"full join (select {_TEXT} as tenant, part, day, hash from stored_slices) as old "
            "using (tenant, part, day) "
            "where new.hash is distinct from old.hash"
        ).fetchone()
        self.connection.unregister("stored_slices")
        return int(found[0]) if found else 0

    def changed(self) -> Iterator[pa.RecordBatch]:
        """The slices found different, as ``SLICE``; the hash of one that is gone is null."""
        query = f"select unhex(replace(tenant, '-', '')) as tenant_id, part, day, hash from {self._changed}"
        return rowcopy.batches(self.connection.sql(query))

    def rows_changed(self) -> Iterator[pa.RecordBatch]:
        """The rows of the slices found different."""
        return rowcopy.batches(
            self.connection.sql(
                f"select {rowcopy.select_list(self.contract.columns)} from {self.relation} as source "
                f"semi join (from {self._changed} where hash is not null) as changed "
                f"on source.{quote(TENANT)}::varchar = changed.tenant and {self._of('source')} = changed.day"
            )
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

    def slice_arrays(self, tenants: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Parts, their hash, and their slices' days and hashes as arrays in Postgres' text form.

        Those of ``tenants``, or, of everybody's, those that were found touched.
        """
        chosen = f"semi join {self._temporary('touched')} using (tenant, part)"
        if tenants is not None:
            chosen = "where tenant in (select unnest($tenants::varchar[]))"
        return rowcopy.batches(
            self.connection.sql(
                f"with slices as (select tenant, part, day, {_SUM} as hash from ({self._hashed()}) as every "
                f"{chosen} group by all) select unhex(replace(tenant, '-', '')) as tenant_id, part, parts.hash, "
                "'{' || string_agg(day::varchar, ',' order by day) || '}' as days, "
                "'{' || string_agg(slices.hash::varchar, ',' order by day) || '}' as hashes "
                f"from slices join {self._parts} as parts using (tenant, part) group by all",
                params={"tenants": list(tenants)} if tenants is not None else None,
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
