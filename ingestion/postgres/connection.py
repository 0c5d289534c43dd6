"""Sessions with a source database, and positions in its WAL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from settings import TailraceError, postgres_problem

Connection = psycopg.Connection[tuple[Any, ...]]
SESSION = {
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "synchronous_commit": "on",
    # A pass may outlast what the role is allowed otherwise.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",  # to compile catalog queries costs more than it saves
}
"""What every session of capture sets: text forms, above all, must not depend on the server's or the role's settings."""


@contextmanager
def connect(dsn: str) -> Iterator[Connection]:
    """An autocommitting connection whose text forms do not depend on the server's or the role's settings."""
    try:
        options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, options=options)
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    with connection:
        yield connection


def flush_lsn(connection: Connection) -> int:
    """The end of what the server has made durable. (The insert position misses the last asynchronous commit.)"""
    row = connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


def flush_all(connection: Connection) -> None:
    """Make durable whatever WAL has been written so far.

    An asynchronous commit leaves the server's flush position inside a record. A reader of the stream runs into that
    record and waits for its rest, on a quiet server for up to 15 seconds, until a background process writes something.
    A synchronous commit of an empty message, which no publication carries, flushes it at once.
    """
    unflushed = "select pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()"
    if connection.execute(unflushed).fetchone() == (True,):
        connection.execute("select pg_logical_emit_message(true, 'tailrace', '')")


def copies_prefix() -> str:
    """How the names of this process's temporary copies of slots begin."""
    return f"tailrace_tmp_{os.getpid()}_"


def lsn_text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def literal(value: str) -> str:
    return sql.Literal(value).as_string(None)
