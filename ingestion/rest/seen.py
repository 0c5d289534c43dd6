"""Which records a walk has met: ``tailrace.met(source, stream, hash)``, kept in the transactions of their rows.

A walk of a shared source meets records of every region, so what is kept of an id is its MD5: enough to know it again,
and no id of another region's record lies in this one's file.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

_TABLE = """
create schema if not exists tailrace;
create table if not exists tailrace.met (source varchar not null, stream varchar not null, hash varchar not null)
"""


def met(expression: str) -> str:
    """The condition that a record was met whose id a SQL expression of ours gives; binds source and stream."""
    return f"md5({expression}) in (select hash from tailrace.met where source = ? and stream = ?)"  # noqa: S608


def add(con: duckdb.DuckDBPyConnection, source: str, stream: str, ids: Iterable[str]) -> None:
    """Remember ``ids``; the caller holds the transaction. One that is met twice may stand there twice."""
    con.execute(_TABLE)
    con.execute(
        "insert into tailrace.met select ?, ?, md5(id) from (select unnest(?::varchar[]) as id)",
        [source, stream, list(ids)],
    )


def among(con: duckdb.DuckDBPyConnection, source: str, stream: str, ids: Iterable[str]) -> set[str]:
    """Those of ``ids`` that were met; the table was made by ``forget`` or ``add``."""
    rows = con.execute(
        f"select id from (select unnest(?::varchar[]) as id) where {met('id')}",  # noqa: S608
        [list(ids), source, stream],
    ).fetchall()
    return {str(row[0]) for row in rows}


def forget(con: duckdb.DuckDBPyConnection, source: str, stream: str) -> None:
    """Forget the ids of a stream; the caller holds the transaction."""
    con.execute(_TABLE)
    con.execute("delete from tailrace.met where source = ? and stream = ?", [source, stream])
