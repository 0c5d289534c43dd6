"""Which records a walk has met: ``tailrace.seen(source, stream, id)``, kept in the transactions of their rows."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

_TABLE = """
create schema if not exists tailrace;
create table if not exists tailrace.seen (source varchar not null, stream varchar not null, id varchar not null)
"""
AMONG = "select id from tailrace.seen where source = ? and stream = ?"
"""The ids met, for a condition in SQL; binds source and stream."""


def add(con: duckdb.DuckDBPyConnection, source: str, stream: str, ids: Iterable[str]) -> None:
    """Remember ``ids``; the caller holds the transaction. One that is met twice may stand there twice."""
    con.execute(_TABLE)
    con.execute("insert into tailrace.seen select ?, ?, unnest(?::varchar[])", [source, stream, list(ids)])


def among(con: duckdb.DuckDBPyConnection, source: str, stream: str, ids: Iterable[str]) -> set[str]:
    """Those of ``ids`` that were met; the table was made by ``forget`` or ``add``."""
    rows = con.execute(f"{AMONG} and id in (select unnest(?::varchar[]))", [source, stream, list(ids)]).fetchall()
    return {str(row[0]) for row in rows}


def forget(con: duckdb.DuckDBPyConnection, source: str, stream: str) -> None:
    """Forget the ids of a stream; the caller holds the transaction."""
    con.execute(_TABLE)
    con.execute("delete from tailrace.seen where source = ? and stream = ?", [source, stream])
