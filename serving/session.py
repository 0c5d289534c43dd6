"""The publisher's connection to a rollup database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from serving import ddl
from serving.homes import Home
from settings import TailraceError, postgres_problem

_LOCK_TIMEOUT_MS = 15_000
# The server ends a query within a second of its client's death, and an idle transaction after five minutes.
_SESSION = (
    f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c client_connection_check_interval=1000 "
    "-c idle_in_transaction_session_timeout=300000 -c timezone=UTC -c synchronous_commit=on -c work_mem=64MB"
)
ADVISORY_LOCK = 0x7A11_9ACE


@contextmanager
def session(database: str, dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection in which transactions are begun by name. What Postgres refuses is a TailraceError of one line."""
    try:
        connection = psycopg.connect(dsn, connect_timeout=10, options=_SESSION, autocommit=True)
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        raise TailraceError(_problem(database, error)) from None


@contextmanager
def transaction(connection: psycopg.Connection[Any], home: Home) -> Iterator[ddl.Cursor]:
    """A transaction in one home."""
    with connection.transaction(), ddl.Cursor(connection, home) as cursor:
        yield cursor


def take_turn(cursor: ddl.Cursor) -> None:
    """Whoever writes published tables does so alone, until the transaction ends."""
    cursor.execute("select pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])


def _problem(database: str, error: psycopg.Error) -> str:
    """One line for a publish that Postgres refused; the version that stood before still stands."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        reason = "another publish or a migration holds it; run again when that has ended"
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        reason = (
            f"{error.diag.message_primary}; {ddl.PUBLISHER} must be a member of {ddl.OWNER}, "
            f"and {ddl.OWNER} must own the schemas that it publishes to, or be able to create them"
        )
    elif isinstance(error, psycopg.errors.DiskFull):
        reason = "its disk is full; free space and run again"
    elif isinstance(error, psycopg.errors.DependentObjectsStillExist):
        reason = f"{error.diag.message_primary}; drop what depends on it, then publish again"
    elif isinstance(error, psycopg.IntegrityError | psycopg.DataError | psycopg.errors.CardinalityViolation):
        where = (error.diag.table_name or "a rollup").removeprefix("incoming_")
        reason = f"{where} breaks its contract ({type(error).__name__}); mend the dbt model"
    else:
        lines = str(error).strip().splitlines()
        reason = f"{lines[0] if lines else type(error).__name__}; run again"
    return f"publishing to {database} failed, its last version stands: {reason}"
