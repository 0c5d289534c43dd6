"""Replication slots: their names, their life, their lag, the snapshot at which one begins, and whether it goes on.

A position is worth something only in the WAL that it was read from. ``check_continuity`` tells whether the server still
has that WAL after the position: the same cluster, its timeline or one that left it later, and the slot in its place.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from ingestion.postgres.connection import Connection, flush_lsn, lsn_number, lsn_text
from ingestion.postgres.position import Position
from settings import TailraceError, postgres_problem
from warehouse import quote

IDLE_WAL = 16 * 1024 * 1024
"""Bytes of WAL that a slot may hold for nobody before it is moved past them."""


@dataclass(frozen=True)
class Slot:
    """A replication slot of this database as the server reports it; positions are byte offsets in the WAL."""

    confirmed: int
    restart: int
    lost: bool
    reason: str
    """Why it was invalidated; empty for one that was not."""


@dataclass(frozen=True)
class Cluster:
    """Which server this is: its system identifier, shared with its copies, and the timeline that it writes."""

    system: str
    timeline: int


@dataclass(frozen=True)
class Lag:
    """How far the warehouse is behind, and what the slot holds back, in bytes of WAL."""

    bytes: int
    seconds: float | None
    """Since the warehouse was last complete up to the source's present; 0 when it is now, None when it never was."""
    retained_bytes: int
    safe_bytes: int | None
    """What may still be written before the server invalidates the slot; None without a limit."""
    active: bool
    wal_status: str | None


class StreamLostError(TailraceError):
    """Changes after the stored position cannot be read any more; only a new copy makes the raw tables whole."""

    def __init__(self, database: str, problem: str) -> None:
        super().__init__(
            f"{database}: {problem}; `tailrace resnapshot --database {database}` copies its tables anew, and "
            "sources.postgres.on_slot_lost: resnapshot in tailrace.yml lets every run do so"
        )
        self.problem = problem


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
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", place)


def find_slot(connection: Connection, slot: str) -> Slot | None:
    row = connection.execute(
        "select coalesce(confirmed_flush_lsn - '0/0', 0)::bigint, coalesce(restart_lsn - '0/0', 0)::bigint,"
        " coalesce(wal_status = 'lost', false) or confirmed_flush_lsn is null,"
        " coalesce(to_jsonb(s)->>'invalidation_reason', case wal_status when 'lost' then 'wal_removed' end, '')"
        " from pg_replication_slots as s where slot_name = %s",
        [slot],
    ).fetchone()
    return None if row is None else Slot(int(row[0]), int(row[1]), bool(row[2]), str(row[3]))


def timeline_history(dsn: str, timeline: int) -> dict[int, int]:
    """Where each ancestor of ``timeline`` was left: timeline → LSN. Needs the REPLICATION attribute only."""
    if timeline == 1:
        return {}
    result = _replication_command(dsn, f"TIMELINE_HISTORY {timeline:d}")
    lines = result.decode(errors="replace").splitlines()
    fields = [line.split("\t") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {int(each[0]): lsn_number(each[1]) for each in fields}


def check_continuity(
    connection: Connection, dsn: str, *, database: str, slot: str, position: Position, cluster: Cluster
) -> str | None:
    """Whether every change after ``position`` can still be read from ``slot``.

    Returns a note when the server was replaced by a standby of it that went on from a later point. Raises
    StreamLostError when changes are missing, or may be.
    """

    def lost(problem: str) -> StreamLostError:
        return StreamLostError(database, problem)

    stored, note = lsn_text(position.lsn), None
    if cluster.system != position.system:
        raise lost("another PostgreSQL cluster than the one that was captured")
    if position.timeline is not None and cluster.timeline != position.timeline:
        left = timeline_history(dsn, cluster.timeline).get(position.timeline)
        if left is None:
            raise lost(
                f"timeline {cluster.timeline} of the server does not come from {position.timeline}, which was read"
            )
        if left < position.lsn:
            raise lost(
                f"timeline {cluster.timeline} of the server left timeline {position.timeline} at {lsn_text(left)}, "
                f"before {stored}, which was landed from it (a failover that lost changes, or a restored backup)"
            )
        note = f"failover: timeline {position.timeline} was left at {lsn_text(left)}, after all that was landed"
    found = find_slot(connection, slot)
    if found is None:
        raise lost(f"slot {slot} is gone, changes since {stored} are lost")
    if found.lost:
        raise lost(f"slot {slot} was invalidated ({found.reason or 'lost'}), changes since {stored} are lost")
    if flush_lsn(connection) < position.lsn:
        raise lost(f"the source is behind {stored}, which was landed from it (restored from a backup?)")
    if found.confirmed > position.lsn:
        raise lost(
            f"slot {slot} was advanced to {lsn_text(found.confirmed)} by someone else, changes since {stored} are lost"
        )
    if note is None and found.restart < position.restart:
        raise lost(
            f"slot {slot} went back to {lsn_text(found.restart)} from {lsn_text(position.restart)}: "
            "the server was restored from an older copy"
        )
    return note


def lag(connection: Connection, slot: str, lsn: int, complete_until: str | None = None) -> Lag | None:
    """Of a warehouse that was complete up to ``lsn`` at ``complete_until`` (ISO 8601). None without the slot."""
    row = connection.execute(
        "select (pg_current_wal_flush_lsn() - '0/0')::bigint,"
        " coalesce(pg_current_wal_flush_lsn() - restart_lsn, 0)::bigint, safe_wal_size, active, wal_status,"
        " extract(epoch from clock_timestamp() - %s::timestamptz)::float8"
        " from pg_replication_slots where slot_name = %s",
        [complete_until, slot],
    ).fetchone()
    if row is None:
        return None
    flushed, retained, safe, active, status, age = row
    behind = max(0, int(flushed) - lsn)
    return Lag(
        bytes=behind,
        seconds=0.0 if behind == 0 else None if age is None else max(0.0, float(age)),
        retained_bytes=max(0, int(retained)),
        safe_bytes=None if safe is None else int(safe),
        active=bool(active),
        wal_status=status,
    )


def source_present(connection: Connection) -> tuple[int, str]:
    """The end of the durable WAL, and the server's clock (ISO 8601, UTC) just before it was looked up."""
    row = connection.execute(
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    ).fetchone()
    assert row is not None
    return flush_lsn(connection), str(row[0])


def release_wal(connection: Connection, slot: str) -> None:
    """Let go of WAL that the slot has been past for a while.

    Where a slot would restart moves only when it is advanced over a record that the server writes every 15 seconds of
    activity. Of one long advance it takes the first such record; advancing again, to the same place, takes the last.
    """
    found = find_slot(connection, slot)
    if found is not None and flush_lsn(connection) - found.restart > IDLE_WAL:
        advance_slot(connection, slot, found.confirmed)


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
    A durable one is made a failover slot where the server knows them: a standby that syncs slots can go on with it.
    """
    with _replication(dsn) as connection:
        options = "SNAPSHOT 'export'"
        if not temporary and connection.info.server_version >= 170000:
            options += ", FAILOVER true"
        kind = " TEMPORARY" if temporary else ""
        result = connection.pgconn.exec_(
            f"CREATE_REPLICATION_SLOT {quote(slot)}{kind} LOGICAL pgoutput ({options})".encode()
        )
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise TailraceError(
                f"slot {slot} cannot be created: {_reason(result)}; free or raise max_replication_slots"
            )
        point, snapshot = result.get_value(0, 1), result.get_value(0, 2)
        assert point is not None
        assert snapshot is not None
        yield lsn_number(bytes(point).decode()), bytes(snapshot).decode()


@contextmanager
def _replication(dsn: str) -> Iterator[Connection]:
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, replication="database")
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    with connection:
        yield connection


def _replication_command(dsn: str, command: str) -> bytes:
    """The last field of the one row that a replication command answers."""
    with _replication(dsn) as connection:
        result = connection.pgconn.exec_(command.encode())
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise TailraceError(f"{command} is refused: {_reason(result)}; grant the role the REPLICATION attribute")
        value = result.get_value(0, result.nfields - 1)
        return b"" if value is None else bytes(value)


def _reason(result: psycopg.pq.abc.PGresult) -> str:
    lines = result.error_message.decode(errors="replace").strip().splitlines()
    return lines[0].removeprefix("ERROR:").strip() if lines else "no reason given"
