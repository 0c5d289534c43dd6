"""A tenant's rows as a file: CSV out of PostgreSQL's ``copy``, or Parquet, in memory of bounded size.

The rows go to a temporary file without a name first, and from there to whoever asked: a slow reader keeps no
transaction open, and a query that fails is an error and not half a file. Text that a spreadsheet would take for a
formula has an apostrophe in front in CSV; Parquet is exact.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from typing import IO, Any

import psycopg
import pyarrow as pa
import pyarrow.parquet
from psycopg import sql

from serving.api.problems import UnavailableError

_IN_MEMORY = 1 << 20
_CHUNK = 1 << 16
_ROWS_A_GROUP = 20_000
_SESSION = (
    "-c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on "
    "-c statement_timeout=60000 -c timezone=UTC"
)
_DAY, _COUNT, _TEXT = pa.date32(), pa.int64(), pa.string()
_MONEY, _SHARE, _FIGURE = pa.decimal128(18, 6), pa.decimal128(9, 6), pa.decimal128(18, 4)


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        return {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}[self.value]


@dataclass(frozen=True)
class Export:
    """A rollup's columns but for the tenant, in the order of the file; ``period`` is the one that a range is of."""

    rollup: str
    columns: dict[str, pa.DataType]
    order: tuple[str, ...]
    period: str


EXPORTS = {
    "usage": Export(
        "rollup_tenant_usage_daily",
        {"day": _DAY}
        | dict.fromkeys(
            (
                *("active_users", "active_users_7d", "active_users_28d", "workflow_runs", "workflow_runs_failed"),
                *("tasks_completed", "comments", "api_requests", "api_errors", "ai_requests", "ai_tokens"),
            ),
            _COUNT,
        )
        | {"ai_cost_usd": _MONEY},
        ("day",),
        "day",
    ),
    "features": Export(
        "rollup_tenant_feature_adoption_daily",
        {"day": _DAY, "feature": _TEXT, "active_users": _COUNT, "events": _COUNT, "adoption_share": _SHARE},
        ("day", "feature"),
        "day",
    ),
    "ai": Export(
        "rollup_tenant_ai_daily",
        {"day": _DAY, "model": _TEXT, "requests": _COUNT, "tokens": _COUNT, "cost_usd": _MONEY},
        ("day", "model"),
        "day",
    ),
    "users": Export(
        "rollup_tenant_users",
        {
            "user_key": _TEXT,
            "first_active_day": _DAY,
            "last_active_day": _DAY,
            "active_days_28d": _COUNT,
            "events_28d": _COUNT,
            "top_feature": _TEXT,
        },
        ("user_key",),
        "last_active_day",
    ),
    "entitlements": Export(
        "rollup_tenant_entitlements_monthly",
        {
            "month": _DAY,
            "metric": _TEXT,
            "unit": _TEXT,
            "used": _COUNT,
            "included": _COUNT,
            "share_used": pa.decimal128(18, 6),
            "forecast_month_end": _COUNT,
            "days_to_limit": _COUNT,
            "limit_day": _DAY,
            "used_usd": _MONEY,
            "included_usd": _MONEY,
        },
        ("month", "metric"),
        "month",
    ),
    "benchmarks": Export(
        "rollup_tenant_benchmarks_monthly",
        {"month": _DAY, "metric": _TEXT}
        | dict.fromkeys(("value", "p25", "median", "p75"), _FIGURE)
        | {"peers": _COUNT},
        ("month", "metric"),
        "month",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A whole file, to be read once; ``digest`` is of its content."""

    file: IO[bytes]
    size: int
    digest: bytes
    version: int | None
    as_of: datetime | None

    def chunks(self) -> Iterator[bytes]:
        with self.file:
            while chunk := self.file.read(_CHUNK):
                yield chunk


def write(
    dsn: str,
    export: Export,
    kind: Format,
    tenant: uuid.UUID,
    *,
    schema: str,
    first: date | None,
    last: date | None,
) -> Written:
    """The tenant's rows of one version, ``first`` and ``last`` included where given. Blocks; run it in a thread.

    Raises UnavailableError. Before the first publish the file holds no rows.
    """
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it is handed on, and closes when read
    version = as_of = None
    try:
        with psycopg.connect(dsn, connect_timeout=5, options=_SESSION) as connection:
            connection.execute("select set_config('app.current_tenant_id', %s, true)", [str(tenant)])
            published = connection.execute(
                sql.SQL("select version, as_of from {} order by version desc limit 1").format(
                    sql.Identifier(schema, "publications")
                )
            ).fetchone()
            version, as_of = published or (None, None)
            rows = partial(_query, export, sql.Identifier(schema, export.rollup))
            (_csv if kind is Format.CSV else _parquet)(connection, export, rows, file, (tenant, first, last))
    except psycopg.errors.UndefinedTable:
        file.seek(0)
        file.truncate()
        _nothing(export, kind, file)
    except psycopg.Error:
        file.close()
        raise UnavailableError from None
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    digest = hashlib.blake2b(key=tenant.bytes, digest_size=16)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    file.seek(0)
    return Written(file=file, size=size, digest=digest.digest(), version=version, as_of=as_of)


Asked = tuple[uuid.UUID, date | None, date | None]
Rows = Callable[..., sql.Composed]
"""``_query`` of one export in one home"""


def _csv(connection: psycopg.Connection[Any], export: Export, rows: Rows, file: IO[bytes], asked: Asked) -> None:
    """``copy`` takes no parameters, so the id and the days stand in it as literals of their types."""
    shown = sql.SQL(", ").join(
        sql.SQL("case when {0} ~ '^[=+@\\t\\r-]' then '''' || {0} else {0} end as {0}").format(sql.Identifier(name))
        if kind == _TEXT
        else sql.Identifier(name)
        for name, kind in export.columns.items()
    )
    query = rows(shown, *map(sql.Literal, asked))
    with connection.cursor().copy(sql.SQL("copy ({}) to stdout (format csv, header)").format(query)) as copy:
        for chunk in copy:
            file.write(chunk)


def _parquet(connection: psycopg.Connection[Any], export: Export, rows: Rows, file: IO[bytes], asked: Asked) -> None:
    shown = sql.SQL(", ").join(map(sql.Identifier, export.columns))
    query = rows(shown, sql.Placeholder("tenant"), sql.Placeholder("first"), sql.Placeholder("last"))
    schema = pa.schema(list(export.columns.items()))
    with connection.cursor(name="export") as cursor, pa.parquet.ParquetWriter(file, schema) as writer:
        cursor.execute(query, dict(zip(("tenant", "first", "last"), asked, strict=True)))
        while fetched := cursor.fetchmany(_ROWS_A_GROUP):
            columns = [
                pa.array(values, type=kind)
                for values, kind in zip(zip(*fetched, strict=True), export.columns.values(), strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _query(
    export: Export, table: sql.Identifier, shown: sql.Composable, tenant: Any, first: Any, last: Any
) -> sql.Composed:
    return sql.SQL(
        "select {shown} from {table} where tenant_id = {tenant}::uuid "
        "and ({first}::date is null or {period} >= {first}::date) "
        "and ({last}::date is null or {period} <= {last}::date) order by {order}"
    ).format(
        shown=shown,
        table=table,
        tenant=tenant,
        first=first,
        last=last,
        period=sql.Identifier(export.rollup, export.period),
        order=sql.SQL(", ").join(sql.Identifier(export.rollup, name) for name in export.order),
    )


def _nothing(export: Export, kind: Format, file: IO[bytes]) -> None:
    if kind is Format.CSV:
        file.write((",".join(export.columns) + "\n").encode())
    else:
        pa.parquet.write_table(pa.schema(list(export.columns.items())).empty_table(), file)
