"""How far each stream has been landed. A position commits in the transaction of the rows that it covers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

_TABLE = """
create schema if not exists tailrace;
create table if not exists tailrace.positions (
    source varchar, stream varchar, position json, updated_at timestamptz, primary key (source, stream)
)
"""


def read(connection: duckdb.DuckDBPyConnection, source: str, stream: str) -> dict[str, Any] | None:
    """The stored position, or None before the first landing."""
    if not _exists(connection):
        return None
    row = connection.execute(
        "select position from tailrace.positions where source = ? and stream = ?", [source, stream]
    ).fetchone()
    return None if row is None else dict(json.loads(row[0]))


def write(connection: duckdb.DuckDBPyConnection, source: str, stream: str, position: dict[str, Any]) -> None:
    """Store the position; the caller holds the transaction that lands the rows."""
    connection.execute(_TABLE)
    connection.execute(
        "insert or replace into tailrace.positions values (?, ?, ?, now())", [source, stream, json.dumps(position)]
    )


def remove(connection: duckdb.DuckDBPyConnection, source: str, stream: str) -> None:
    """Forget the position; the caller holds the transaction."""
    connection.execute(_TABLE)
    connection.execute("delete from tailrace.positions where source = ? and stream = ?", [source, stream])


def stamp(connection: duckdb.DuckDBPyConnection) -> datetime:
    """The moment of a landing, later than that of every landing before it even if the clock was set back.

    Taken inside the landing's transaction, under the writer's lease, it makes the order of stamps the order of commits:
    whoever reads rows stamped after the last one seen misses none.
    """
    last = read(connection, "warehouse", "clock")
    now = datetime.now(UTC)
    if last is not None:
        now = max(now, datetime.fromisoformat(last["last_stamp"]) + timedelta(microseconds=1))
    write(connection, "warehouse", "clock", {"last_stamp": now.isoformat()})
    return now


def all_positions(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, dict[str, Any], str]]:
    """Every (source, stream, position, updated_at as ISO text), for status reports."""
    if not _exists(connection):
        return []
    rows = connection.execute(
        "select source, stream, position, strftime(updated_at, '%Y-%m-%dT%H:%M:%SZ') "
        "from tailrace.positions order by source, stream"
    ).fetchall()
    return [(source, stream, json.loads(position), stamp) for source, stream, position, stamp in rows]


def _exists(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(
        connection.execute(
            "select 1 from duckdb_tables() where database_name = current_database() "
            "and schema_name = 'tailrace' and table_name = 'positions'"
        ).fetchone()
    )
