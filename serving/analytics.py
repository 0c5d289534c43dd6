"""The analytics file: marts and rollups alone, for analysts, replaced whole under their open connections."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import duckdb

from settings import TailraceError
from warehouse import quote
from warehouse.failpoints import failpoint

SCHEMAS = ("marts", "rollups")
_ALIAS = "analytics_next"


@dataclass(frozen=True, kw_only=True)
class AnalyticsReport:
    """``rows`` by ``schema.table``; ``bytes`` of the file."""

    rows: dict[str, int]
    bytes: int


def write_analytics_file(warehouse: duckdb.DuckDBPyConnection, path: Path) -> AnalyticsReport:
    """Write the marts and rollups of ``warehouse`` to a new DuckDB file and put it at ``path`` in one step.

    Readers keep the file they opened; the next opens the new one. A kill or a full disk leaves the old file. Only rows
    are copied, into a file that begins empty: no byte of raw, staging or the vault can be in it. The caller holds the
    warehouse's lease. Raises TailraceError when there is nothing to write or the file cannot be written.
    """
    tables = warehouse.execute(
        "select table_schema, table_name from information_schema.tables "
        "where table_catalog = current_database() and table_schema in (select unnest(?::varchar[])) order by all",
        [list(SCHEMAS)],
    ).fetchall()
    if not tables:
        raise TailraceError(f"{path}: the warehouse has no marts yet; build the dbt models first")
    path.parent.mkdir(parents=True, exist_ok=True)
    following = path.with_name(path.name + ".next")
    _discard(following)
    try:
        rows = _copy(warehouse, tables, following)
        with following.open("rb") as file:
            os.fsync(file.fileno())
        failpoint("analytics_before_swap")
        following.replace(path)
    except (duckdb.Error, OSError) as error:
        _discard(following)
        raise TailraceError(_problem(path, error)) from None
    return AnalyticsReport(rows=rows, bytes=path.stat().st_size)


def _copy(warehouse: duckdb.DuckDBPyConnection, tables: list[tuple[str, str]], target: Path) -> dict[str, int]:
    """Tables and views alike become tables, with their columns' comments."""
    file = str(target).replace("'", "''")
    source = quote(str(_one(warehouse, "select current_database()")))
    rows = {}
    warehouse.execute(f"attach '{file}' as {_ALIAS} (read_write)")
    try:
        for schema in SCHEMAS:
            warehouse.execute(f"create schema {_ALIAS}.{quote(schema)}")
        for schema, name in tables:
            qualified = f"{quote(schema)}.{quote(name)}"
            warehouse.execute(
                f"create table {_ALIAS}.{qualified} as select * from {source}.{qualified}"  # noqa: S608
            )
            rows[f"{schema}.{name}"] = int(_one(warehouse, f"select count(*) from {_ALIAS}.{qualified}"))  # noqa: S608
            failpoint("analytics_mid_copy")
    finally:
        # Detaching writes the log into the file: one file is what readers get.
        warehouse.execute(f"detach {_ALIAS}")
    return rows


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> str | int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def _discard(path: Path) -> None:
    for each in (path, path.with_name(path.name + ".wal")):
        each.unlink(missing_ok=True)


def _problem(path: Path, error: Exception) -> str:
    text = str(error)
    if "space" in text.lower() or "too large" in text.lower() or "could not write" in text.lower():
        return f"{path}: the disk is full; free space and run again, the file that stood there still does"
    return f"{path}: {text.splitlines()[0] if text else type(error).__name__}; the file that stood there still does"
