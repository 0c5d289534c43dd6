"""Which slices of a model differ from those that stand in ClickHouse, found by content hashes in DuckDB."""

# ruff: noqa: S608 - names are the contracts', each quoted; values are bound

from __future__ import annotations

from collections.abc import Collection, Iterator

import duckdb
import pyarrow as pa

from serving.clickhouse.contract import DAY, Detail
from serving.contract import TENANT
from serving.slices import BUCKET, PART, SUM_OF_SLICES, Rollup
from warehouse import quote

ENTRY = pa.schema([("tenant_id", pa.string()), ("day", pa.date32()), ("rows", pa.uint64()), ("hash", pa.int64())])
_ROWS_AN_INSERT = 500_000
_UUID = "regexp_replace(lower(hex(tenant_id)), '(.{8})(.{4})(.{4})(.{4})(.{12})', '\\1-\\2-\\3-\\4-\\5')"


class Differences:
    """One model, as the warehouse has it, against what stands. ``rows``: tenant → rows in the warehouse."""

    def __init__(self, warehouse: duckdb.DuckDBPyConnection, detail: Detail) -> None:
        self.detail = detail
        self._warehouse = warehouse
        relation = ".".join(map(quote, detail.contract.source))
        self._source = Rollup(connection=warehouse, contract=detail.contract, relation=relation, alias="clickhouse_")
        self.rows = self._source.measure()
        self._tenants: list[str] = []

    def compare(self, stands: pa.Table, tenants: Collection[str]) -> pa.Table:
        """The slices that differ, as ``ENTRY``, no rows where a slice is gone; ``stands`` is tenant_id, day and hash.

        ``tenants`` are those at home in the database; whatever else stands there is gone.
        """
        con = self._warehouse
        con.register("clickhouse_stands", stands)
        con.execute(
            "create or replace temp table clickhouse_stored as "
            f"select *, {PART} as part, {BUCKET} as bucket "
            "from (select unhex(replace(tenant_id, '-', '')) as tenant_id, day, hash from clickhouse_stands)"
        )
        con.unregister("clickhouse_stands")
        parts = con.sql(f"select part, bucket, {SUM_OF_SLICES} as hash from clickhouse_stored group by all")
        touched = self._source.touched(parts.to_arrow_table(), tenants)
        if not touched:
            return ENTRY.empty_table()
        self._source.hash_touched(touched)
        weeks, buckets = zip(*touched, strict=True)
        stored = con.sql(
            "select tenant_id, day, hash from clickhouse_stored semi join "
            "(select unnest($weeks::date[]) as part, unnest($buckets::smallint[]) as bucket) using (part, bucket)",
            params={"weeks": list(weeks), "buckets": list(buckets)},
        )
        self._source.compare(stored.to_arrow_table())
        tenant, day = f"source.{quote(TENANT)}::varchar", f"source.{quote(DAY)}::date"
        found = con.sql(
            f"select {_UUID} as tenant_id, changed.day, coalesce(counted.rows, 0)::ubigint as rows, "
            f"coalesce(changed.hash, 0) as hash from {self._source.found_different} as changed left join ("
            f"select {tenant} as tenant, {day} as day, count(*) as rows from {self._source.relation} as source "
            f"semi join {self._source.found_different} as changed "
            f"on {tenant} = changed.tenant and {day} = changed.day group by all) as counted "
            "on counted.tenant = changed.tenant and counted.day = changed.day order by all"
        )
        return found.to_arrow_table().cast(ENTRY)

    def changed_rows(self) -> Iterator[pa.Table]:
        """The rows of the slices that differ, many at a time."""
        columns = ", ".join(self._sendable(column.name, column.type) for column in self.detail.contract.columns)
        gathered: list[pa.RecordBatch] = []
        for batch in self._source.rows_changed(columns):
            gathered.append(batch)
            if sum(each.num_rows for each in gathered) >= _ROWS_AN_INSERT:
                yield pa.Table.from_batches(gathered)
                gathered = []
        if gathered:
            yield pa.Table.from_batches(gathered)

    @staticmethod
    def _sendable(name: str, postgres: str) -> str:
        column = quote(name)
        if postgres in ("uuid", "jsonb"):
            return f"{column}::varchar as {column}"
        if postgres == "timestamp with time zone":
            # An instant, which the session's time zone has no part in.
            return f"make_timestamp(epoch_us({column})) as {column}"
        return column
