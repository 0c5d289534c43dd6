"""What a source database offers for capture, and what stands in the way, said in one line with its remedy."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ingestion.land import RawTable
from ingestion.postgres.types import binary_decodable, fits
from settings import TailraceError, postgres_problem
from warehouse import quote

Connection = psycopg.Connection[tuple[Any, ...]]

# Rows of published tables: what may be read (grants, row-level security) and how deletes name their row.
_PUBLISHED = """
with own_policies as (
    select polrelid, polpermissive, pg_get_expr(polqual, polrelid) = 'true' as everything from pg_policy
    where polcmd in ('r', '*')
    and (polroles = '{0}' or exists (select 1 from unnest(polroles) as r where pg_has_role(r, 'usage')))
)
select p.schemaname, p.tablename, p.rowfilter, p.attnames::text[], c.relreplident::text,
    has_schema_privilege(n.oid, 'usage') as may_enter,
    (select array_agg(a.attname::text || ' ' || a.atttypid || ' ' || a.atttypmod order by a.attnum)
        from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    (select coalesce(array_agg(a.attname::text), '{}') from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and not has_column_privilege(c.oid, a.attnum, 'select')) as hidden,
    (select array_agg(a.attname::text) from pg_index as i join pg_attribute as a
        on a.attrelid = c.oid and a.attnum = any(i.indkey)
        where i.indrelid = c.oid
        and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end) as identity,
    row_security_active(c.oid) and (
        not exists (select 1 from own_policies as y where y.polrelid = c.oid and y.polpermissive and y.everything)
        or exists (select 1 from own_policies as y
            where y.polrelid = c.oid and not y.polpermissive and not y.everything)
    ) as rows_hidden
from pg_publication_tables as p
join pg_namespace as n on n.nspname = p.schemaname
join pg_class as c on c.relnamespace = n.oid and c.relname = p.tablename
where p.pubname = %s order by p.schemaname, p.tablename
"""


@dataclass(frozen=True)
class SourceTable:
    """One published table of one schema, and the raw table that it lands in."""

    schema: str
    raw: RawTable
    types: dict[str, tuple[int, int]]
    """Column → (type OID, type modifier), of the raw table's columns."""
    row_filter: str | None

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.raw.name}"

    @property
    def shape(self) -> list[str]:
        """What of it has been landed; another shape means that its rows have to be read again."""
        return [column.name for column in self.raw.columns]

    @property
    def binary(self) -> bool:
        """Whether all of its columns decode from their binary form."""
        return all(binary_decodable(*self.types[column.name], column.duck_type) for column in self.raw.columns)


@dataclass(frozen=True)
class Slot:
    """A replication slot of this database as the server reports it; positions are byte offsets in the WAL."""

    confirmed: int
    active_pid: int | None
    lost: bool


@contextmanager
def connect(dsn: str) -> Iterator[Connection]:
    """An autocommitting connection whose text forms do not depend on the server's or the role's settings."""
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, options=session_options())
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    with connection:
        yield connection


@contextmanager
def sole_reader(connection: Connection, slot: str, *, on_wait: Callable[[str], None]) -> Iterator[None]:
    """One pass at a time over a slot; the server frees the place of a process that dies."""
    place = [f"tailrace {slot}"]
    tried = connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", place).fetchone()
    if tried != (True,):
        on_wait(f"slot {slot}: waiting for another pass to end")
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", place)
    yield


def session_options() -> str:
    return (
        "-c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=3 -c client_encoding=UTF8 "
        "-c synchronous_commit=on"
    )


def slot_name(prefix: str, database: str) -> str:
    """Slot names are the cluster's, not the database's: one for each database, at most 63 of ``[a-z0-9_]``."""
    name = re.sub(r"[^a-z0-9_]", "_", f"{prefix}_{database}".lower())
    if len(name) <= 55 and name == f"{prefix}_{database}":
        return name
    return f"{name[:46]}_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def check_server(connection: Connection, *, database: str, publication: str) -> str:
    """The cluster's system identifier. Raises TailraceError when the server cannot be captured by this role."""
    row = connection.execute(
        "select current_setting('server_version_num')::int, current_setting('wal_level'), current_user::text,"
        " (select rolreplication or rolsuper from pg_roles where rolname = current_user),"
        " exists (select 1 from pg_publication where pubname = %s),"
        " (select system_identifier::text from pg_control_system()), pg_is_in_recovery()",
        [publication],
    ).fetchone()
    assert row is not None
    version, wal_level, role, may_replicate, published, system, standby = row
    if version < 150000:
        raise TailraceError(f"{database}: PostgreSQL {version // 10000} has no column lists; upgrade it to 15 or later")
    if wal_level != "logical":
        raise TailraceError(
            f"{database}: wal_level is {wal_level}; `alter system set wal_level = logical`, then restart"
        )
    if standby:
        raise TailraceError(f"{database}: the server is a standby; point the dsn at the primary")
    if not may_replicate:
        raise TailraceError(f"{database}: role {role} may not replicate; `alter role {quote(role)} replication`")
    if not published:
        raise TailraceError(
            f"{database}: publication {publication} does not exist; create it from the contracts' tables"
        )
    return str(system)


def discover(
    connection: Connection, *, database: str, publication: str, patterns: Sequence[str], tables: Sequence[RawTable]
) -> list[SourceTable]:
    """The published tables in schemas that match ``patterns`` and that a contract lands, each checked.

    Raises TailraceError for a table that could not be captured whole: before it loses rows, not after.
    """
    by_name = {table.name: table for table in tables}
    role = connection.info.user
    found = []
    for row in connection.execute(_PUBLISHED, [publication]).fetchall():
        schema, name, row_filter, published, ident, may_enter, columns, hidden, identity, rows_hidden = row
        raw = by_name.get(name)
        if raw is None or not any(fnmatch.fnmatchcase(schema, pattern) for pattern in patterns):
            continue
        where, sql_name = f"{database}: {schema}.{name}", f"{quote(schema)}.{quote(name)}"
        wanted = [column.name for column in raw.columns]
        if lacking := [column for column in wanted if column not in published]:
            raise TailraceError(
                f"{where}: publication {publication} has no column {lacking[0]}, which the contract lands; "
                "publish it or take it out of the contract"
            )
        if not may_enter:
            raise TailraceError(f"{where}: no right; `grant usage on schema {quote(schema)} to {quote(role)}`")
        if secret := [column for column in wanted if column in hidden]:
            grant = f"grant select ({', '.join(map(quote, secret))}) on {sql_name} to {quote(role)}"
            raise TailraceError(f"{where}: no right to read {secret[0]}; `{grant}`")
        if rows_hidden:
            policy = f"create policy {quote(role + '_reads')} on {sql_name} for select to {quote(role)} using (true)"
            raise TailraceError(f"{where}: row-level security hides rows from {role}; `{policy}`")
        if ident == "n" or (ident != "f" and set(identity or ()) != set(raw.key)):
            raise TailraceError(
                f"{where}: its replica identity does not name the key {', '.join(raw.key)} of the contract; "
                "make that the primary key, or mend the contract"
            )
        every = {text.rsplit(" ", 2)[0]: text.rsplit(" ", 2)[1:] for text in columns}
        kinds = {column: (int(every[column][0]), int(every[column][1])) for column in wanted}
        for column in raw.columns:
            if not fits(*kinds[column.name], column.duck_type):
                raise TailraceError(
                    f"{where}.{column.name}: {_type_name(connection, *kinds[column.name])} does not fit "
                    f"{column.duck_type} exactly; widen the type in the contract (VARCHAR holds every value)"
                )
        found.append(SourceTable(schema, raw, kinds, row_filter))
    if not found:
        raise TailraceError(
            f"{database}: publication {publication} has no contracted table in a schema like {', '.join(patterns)}; "
            "add the tables to the publication, or mend sources.postgres.schemas in tailrace.yml"
        )
    return found


def _type_name(connection: Connection, oid: int, typmod: int) -> str:
    row = connection.execute("select format_type(%s, %s)", [oid, typmod]).fetchone()
    return str(row[0]) if row else str(oid)


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


def lsn_text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


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


def literal(value: str) -> str:
    return sql.Literal(value).as_string(None)
