"""Replication slots: their names, their life, and the snapshot at which one begins."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from ingestion.postgres.connection import Connection, lsn_number, lsn_text
from settings import TailraceError, postgres_problem
from warehouse import quote


@dataclass(frozen=True)
class Slot:
    """A replication slot of this database as the server reports it; positions are byte offsets in the WAL."""

    confirmed: int
    active_pid: int | None
    lost: bool


def slot_name(prefix: str, database: str) -> str:
    """Slot names are the cluster's, not the database's: one for each database, at most 63 of ``[a-z0-9_]``."""
    name = re.sub(r"[^a-z0-9_]", "_", f"{prefix}_{database}".lower())
    if len(name) <= 55 and name == f"{prefix}_{database}":
        return name
    return f"{name[:46]}_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


@contextmanager
def sole_reader(connection: Connection, slot: str, *, on_wait: Callable[[str], None]) -> Iterator[None]:
    """One pass at a time over a slot; the server frees the place of a process that dies."""
    place = [f"tailrace {slot}"]
    tried = connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", place).fetchone()
    if tried != (True,):
        on_wait(f"slot {slot}: waiting for another pass to end")
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", place)
    yield


def find_slot(connection: Connection, slot: str) -> Slot | None:
    row = connection.execute(
        "select coalesce(confirmed_flush_lsn - '0/0', 0)::bigint, active_pid,"
        " coalesce(wal_status = 'lost', false) or confirmed_flush_lsn is null"
        " from pg_replication_slots where slot_name = %s",
        [slot],
    ).fetchone()
    return None if row is None else Slot(int(row[0]), row[1], bool(row[2]))


def drop_slot(connection: Connection, slot: str) -> None:
    """Drop the slot, waiting a while for the server to notice that its last reader died."""
    _when_idle(connection, slot, "select pg_drop_replication_slot(%s)", [slot])


def advance_slot(connection: Connection, slot: str, lsn: int) -> None:
    """Let the server forget the WAL before ``lsn``, which the warehouse has stored."""
    _when_idle(connection, slot, "select pg_replication_slot_advance(%s, %s::pg_lsn)", [slot, lsn_text(lsn)])


def _when_idle(connection: Connection, slot: str, query: str, values: list[str], *, patience: float = 15.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute(query.encode(), values)
            return
        except psycopg.errors.ObjectInUse:
            if time.monotonic() >= deadline:
                raise TailraceError(
                    f"slot {slot} is read by another process; stop it, or set sources.postgres.slot in tailrace.yml"
                ) from None
            time.sleep(0.1)


@contextmanager
def exported_snapshot(dsn: str, slot: str, *, temporary: bool) -> Iterator[tuple[int, str]]:
    """Create the slot and hold its snapshot: (consistent point, snapshot name), both valid inside the block.

    Only a replication connection gives the snapshot at which the slot begins; a temporary slot goes with the block.
    """
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, replication="database")
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    with connection:
        kind = " TEMPORARY" if temporary else ""
        command = f"CREATE_REPLICATION_SLOT {quote(slot)}{kind} LOGICAL pgoutput (SNAPSHOT 'export')"
        result = connection.pgconn.exec_(command.encode())
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            reason = (
                result.error_message.decode(errors="replace").strip().splitlines()[0].removeprefix("ERROR:").strip()
            )
            raise TailraceError(f"slot {slot} cannot be created: {reason}; free or raise max_replication_slots")
        point, snapshot = result.get_value(0, 1), result.get_value(0, 2)
        assert point is not None
        assert snapshot is not None
        yield lsn_number(bytes(point).decode()), bytes(snapshot).decode()
