"""Bring a database's tables to their contracts without standing in a reader's way.

A new table is made, filled and indexed in the publish's own transaction; nobody can see it before. A new column is
added in a short transaction of its own. A changed type or key makes every table anew beside what stands, its rows
frozen, so that whoever looks sees all of the old set or all of the new; then the sets change places in one moment.
Whatever needs a reader's table waits a tenth of a second for it, gives way, and comes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from serving import ddl, rowcopy, slices, versions, windows
from serving.contract import TENANT, Column, TableContract
from serving.homes import PRIVATE_PATTERN, Home, of_private
from serving.session import take_turn, transaction
from settings import TailraceError

Cursor = ddl.Cursor

WAIT_MS = 100
"""How long a change of a table that tenants read waits for its readers, and so how long new readers wait for it."""
PATIENCE_SECONDS = 15.0
_PAUSE_SECONDS = 0.15
_FILL = 90
"""Percent. In the room left a page takes a tenant's last days anew, without a second entry in the index."""

_PUBLICATIONS = sql.SQL(
    "version bigint not null, run_id text not null, as_of timestamptz not null, published_at timestamptz not null, "
    "rows bigint not null, tenant_id uuid, restores bigint, kept boolean not null default false, made_by text"
)
_ADDED_TO_PUBLICATIONS = {
    "tenant_id": "uuid",
    "restores": "bigint",
    "kept": "boolean not null default false",
    "made_by": "text",
}
# A tenant whose rollups were rolled back sees the version that stands for it, and none of what was published since. The
# key is the version, so the setting is read in a subquery, once a query.
_VISIBLE_PUBLICATIONS = (
    "{tenant} is not null and coalesce(tenant_id = {tenant}, true) and version <= coalesce("
    "(select held.version from {holds} as held where held.tenant_id = {tenant}), version)"
)


_AND_RESIDES = " and exists (select from {residents} as resident where resident.tenant_id = {tenant})"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a database lacks. ``rebuild``: the tables whose type or key changed, or that keep statistics."""

    missing: tuple[TableContract, ...]
    rebuild: tuple[TableContract, ...]
    added: tuple[tuple[TableContract, Column], ...]
    described: tuple[tuple[TableContract, dict[str | None, str]], ...]


def survey(cursor: Cursor, contracts: Iterable[TableContract]) -> Survey:
    """Compare what stands with the contracts. Raises TailraceError for a table whose isolation was weakened."""
    missing, rebuild, added, described = [], [], [], []
    for contract in contracts:
        if not ddl.exists(cursor, contract.name):
            missing.append(contract)
            continue
        actual = ddl.columns(cursor, contract.name)
        types_fit = all(actual.get(column.name, column.type) == column.type for column in contract.columns)
        # Statistics that were kept cannot be taken out of a table by its owner.
        if not types_fit or ddl.key(cursor, contract.name) != contract.key or not ddl.withheld(cursor, contract.name):
            rebuild.append(contract)
            continue
        if not ddl.isolated(cursor, contract.name):
            raise TailraceError(
                f"{cursor.home.schema}.{contract.name}: row-level security is off, not forced, or its policies were "
                f"changed; drop the table and publish again"
            )
        added += [(contract, column) for column in contract.columns if column.name not in actual]
        if texts := ddl.comments_missing(cursor, contract):
            described.append((contract, texts))
    return Survey(missing=tuple(missing), rebuild=tuple(rebuild), added=tuple(added), described=tuple(described))


def in_place(
    connection: psycopg.Connection[Any],
    home: Home,
    contracts: list[TableContract],
    *,
    once: Callable[[], object] = lambda: None,
) -> list[str]:
    """Add columns, and describe, in transactions of their own; returns what was done. No transaction may be open.

    Nothing is changed before ``once`` has returned.
    """
    with transaction(connection, home) as cursor:
        found = survey(cursor, contracts)
        old_publications = ddl.exists(cursor, ddl.PUBLICATIONS) and not ddl.exists(cursor, ddl.HOLDS)
    done = []
    if found.added or found.described or old_publications:
        once()
    if found.added or old_publications:

        def add() -> None:
            with transaction(connection, home) as cursor:
                _wait_briefly(cursor)
                ddl.as_owner(cursor)
                for contract, column in found.added:
                    _add_column(cursor, cursor.home.table(contract.name), column)
                    ddl.let_read(cursor, cursor.home.table(contract.name), (column.name,))
                    if ddl.exists(cursor, f"undo_{contract.name}", schema=cursor.home.private):
                        _add_column(cursor, ddl.undo(cursor, contract), column)
                if old_publications:
                    _extend_publications(cursor)

        _in_turns(add, doing="adding a column")
        done += [f"added {contract.name}.{column.name}" for contract, column in found.added]
        done += [f"extended {ddl.PUBLICATIONS}"] if old_publications else []
    if found.added or found.described:
        with transaction(connection, home) as cursor:
            described = survey(cursor, contracts).described
            ddl.as_owner(cursor)
            for contract, texts in described:
                ddl.comment(cursor, cursor.home.table(contract.name), texts)
                done += [f"described {contract.name}{f'.{column}' if column else ''}" for column in texts]
    return done


def ensure_own_tables(cursor: Cursor, contracts: Iterable[TableContract]) -> list[str]:
    """Make the schemas, and the tables that are the publisher's own; returns what was made."""
    done = [
        f"created schema {name}" for name in (cursor.home.schema, cursor.home.private) if _ensure_schema(cursor, name)
    ]
    ddl.as_owner(cursor)
    if not ddl.exists(cursor, ddl.HOLDS):
        _create_holds(cursor)
    if cursor.home.is_namespace and not ddl.exists(cursor, ddl.RESIDENTS):
        _create_residents(cursor)
    if not ddl.exists(cursor, ddl.PUBLICATIONS):
        _create_publications(cursor, cursor.home.table(ddl.PUBLICATIONS))
        done.append(f"created {ddl.PUBLICATIONS}")
    if not ddl.exists(cursor, ddl.SLICES, schema=cursor.home.private):
        _create_slices(cursor)
        done.append(f"created {ddl.SLICES}")
    elif TENANT in ddl.columns(cursor, ddl.SLICES, schema=cursor.home.private):
        _regroup_slices(cursor)
        done.append(f"regrouped {ddl.SLICES}")
    for contract in contracts:
        if not ddl.exists(cursor, f"undo_{contract.name}", schema=cursor.home.private):
            create_undo(cursor, contract)
    ddl.as_publisher(cursor)
    return done


def create_filled(
    cursor: Cursor,
    contract: TableContract,
    name: sql.Identifier,
    lines: Iterable[bytes],
    *,
    freeze: bool = False,
) -> int:
    """Create a table for the contract's rows and fill it, for ``complete``; how many rows."""
    ddl.as_owner(cursor)
    cursor.execute(
        sql.SQL("create table {} ({}) with (fillfactor = {})").format(
            name, ddl.column_definitions(contract), sql.Literal(_FILL)
        )
    )
    count = rowcopy.copy_in(cursor, name, contract.columns, lines, freeze=freeze)
    ddl.as_publisher(cursor)
    return count


def complete(cursor: Cursor, contract: TableContract, name: sql.Identifier) -> None:
    """Index a table over all its rows at once, secure and describe it.

    The security comes last, as COPY does not go into a table that has it; the transaction hides the table until then.
    """
    ddl.as_owner(cursor)
    cursor.execute(
        sql.SQL("alter table {} add constraint {} primary key ({})").format(
            name, sql.Identifier(f"{contract.name}_pkey"), ddl.names(contract.key)
        )
    )
    ddl.isolate(cursor, name, visible=sql.SQL("tenant_id = {}").format(ddl.CURRENT_TENANT))
    ddl.let_read(cursor, name, contract.column_names)
    texts: dict[str | None, str] = {None: contract.description} | {c.name: c.description for c in contract.columns}
    ddl.comment(cursor, name, {column: text for column, text in texts.items() if text})
    ddl.as_publisher(cursor)


def create_next_publications(cursor: Cursor, *, run_id: str, as_of: datetime, rows: int) -> int:
    """The publications that stand and one more, frozen, in the table that is to replace theirs; the new version."""
    name = following(cursor, ddl.PUBLICATIONS)
    columns = sql.SQL("version, run_id, as_of, published_at, rows, tenant_id, restores, kept, made_by")
    # No version from before can be put back: its rows were of another shape.
    standing = cursor.execute(
        sql.SQL(
            "select version, run_id, as_of, published_at, rows, tenant_id, restores, false, made_by from {}"
        ).format(cursor.home.table(ddl.PUBLICATIONS))
    ).fetchall()
    version = max((row[0] for row in standing), default=0) + 1
    now = datetime.now(UTC)
    ddl.as_owner(cursor)
    cursor.execute(sql.SQL("create table {} ({})").format(name, _PUBLICATIONS))
    with cursor.copy(sql.SQL("copy {} ({}) from stdin (freeze)").format(name, columns)) as copy:
        for row in [*standing, (version, run_id, as_of, now, rows, None, None, False, run_id)]:
            copy.write_row(row)
    _isolate_publications(cursor, name)
    ddl.as_publisher(cursor)
    return version


def following(cursor: Cursor, name: str) -> sql.Identifier:
    """The table that is to replace a published one."""
    return cursor.home.own(f"next_{name}")


def change_places(
    cursor: Cursor, published: list[str], *, windows_made: Iterable[windows.Made], windows_gone: Mapping[str, str]
) -> None:
    """Put the tables made by ``following``, and windows, in the place of those that stand, all in one moment."""
    standing = [name for name in published if ddl.exists(cursor, name)]
    every = sql.SQL(", ").join(cursor.home.table(name) for name in standing)

    def lock() -> None:
        with cursor.connection.transaction():
            _wait_briefly(cursor)
            windows.drop(cursor, windows_gone)  # which are over the tables that go
            cursor.execute(sql.SQL("lock table {} in access exclusive mode").format(every))

    _in_turns(lock, doing="changing places with the tables that stand")
    ddl.as_owner(cursor)
    for name in standing:
        cursor.execute(sql.SQL("drop table {}").format(cursor.home.table(name)))
    for name in published:
        cursor.execute(
            sql.SQL("alter table {} set schema {}").format(following(cursor, name), sql.Identifier(cursor.home.schema))
        )
        cursor.execute(
            sql.SQL("alter table {} rename to {}").format(cursor.home.table(f"next_{name}"), sql.Identifier(name))
        )
    ddl.as_publisher(cursor)
    windows.show(cursor, windows_made)


def settle_windows(cursor: Cursor, contracts: list[TableContract], *, version: int) -> list[str]:
    """Make windows that are missing, and put them in the place of those that were declared otherwise; what was done."""
    gone, missing = windows.gone(cursor, contracts), windows.missing(cursor, contracts)
    made = windows.make(cursor, missing, version=version)

    def replace() -> None:
        with cursor.connection.transaction():
            _wait_briefly(cursor)
            windows.drop(cursor, gone)
            windows.show(cursor, made)

    if gone or made:
        _in_turns(replace, doing="replacing a window")
    names = {each.window.name for each in made}
    return [f"made {name}" for name in sorted(names)] + [f"dropped {name}" for name in gone if name not in names]


def forget_everything(cursor: Cursor, contracts: Iterable[TableContract]) -> None:
    """Hashes and replaced rows of tables that are made anew: neither fits the new shape."""
    for name in (ddl.SLICES, ddl.UNDO_SLICES):
        cursor.execute(sql.SQL("delete from {}").format(cursor.home.own(name)))
    ddl.as_owner(cursor)
    for contract in contracts:
        cursor.execute(sql.SQL("drop table {}").format(ddl.undo(cursor, contract)))
        create_undo(cursor, contract)
    ddl.as_publisher(cursor)


def namespaces(connection: psycopg.Connection[Any], database: str) -> list[Home]:
    """The namespaces that stand in a database, by their private schemas."""
    rows = connection.execute(
        "select nspname::text from pg_namespace "
        "where nspname like %s and pg_has_role(%s, nspowner, 'usage') order by nspname",
        [PRIVATE_PATTERN, ddl.OWNER],
    ).fetchall()
    return [of_private(database, row[0]) for row in rows]


def drop(connection: psycopg.Connection[Any], home: Home) -> None:
    """Remove a namespace and all that is in it; what others made of its tables stands in the way."""

    def remove() -> None:
        with transaction(connection, home) as cursor:
            take_turn(cursor)
            _wait_briefly(cursor)
            windows.unschedule(cursor)
            windows.drop(cursor, windows.every(cursor))
            ddl.as_owner(cursor)
            tables = cursor.execute(
                "select nspname::text, relname::text from pg_class "
                "join pg_namespace on pg_namespace.oid = relnamespace where nspname = any(%s) and relkind = 'r'",
                [[home.schema, home.private]],
            ).fetchall()
            if tables:  # together, as the policy of one reads another
                names = sql.SQL(", ").join(sql.Identifier(*each) for each in tables)
                cursor.execute(sql.SQL("drop table {}").format(names))
            for schema in (home.schema, home.private):
                cursor.execute(sql.SQL("drop schema if exists {}").format(sql.Identifier(schema)))

    _in_turns(remove, doing=f"dropping {home.name}")


def create_undo(cursor: Cursor, contract: TableContract) -> None:
    """The table with the rows that versions of this rollup replaced."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), ddl.type_of(column)) for column in contract.columns
    )
    name = ddl.undo(cursor, contract)
    cursor.execute(sql.SQL("create table {} (version bigint not null, {})").format(name, columns))
    # Whole versions are looked for, and they follow each other in the table.
    cursor.execute(sql.SQL("create index on {} using brin (version)").format(name))
    ddl.isolate(cursor, name, visible=None)


def _create_slices(cursor: Cursor) -> None:
    """A row a part: of the slices in it the tenants, days and hashes."""
    part = sql.SQL("rollup text not null, part date not null, bucket smallint not null, ")
    arrays = sql.SQL("tenants uuid[] not null, days date[] not null, hashes bigint[] not null, primary key (")
    key = sql.SQL("rollup, part, bucket)")
    for name, definition in (
        (ddl.SLICES, sql.SQL("hash bigint not null, ") + part + arrays + key),
        (ddl.UNDO_SLICES, sql.SQL("version bigint not null, ") + part + arrays + sql.SQL("version, ") + key),
    ):
        table = cursor.home.own(name)
        cursor.execute(sql.SQL("create table {} ({})").format(table, definition))
        # Hashes cannot be compressed, and it takes long to find that out.
        external = sql.SQL(", ").join(
            sql.SQL("alter {} set storage external").format(sql.Identifier(column.name))
            for column in slices.SLICE_ARRAYS
        )
        cursor.execute(sql.SQL("alter table {} {}").format(table, external))
        ddl.isolate(cursor, table, visible=None)


def _regroup_slices(cursor: Cursor) -> None:
    """Slices as they were kept once, a row a tenant and month, as they are now."""
    kept = (ddl.SLICES, ddl.UNDO_SLICES)
    ddl.as_publisher(cursor)  # who sees the rows
    for name in kept:
        cursor.execute(
            sql.SQL("create temporary table {} on commit drop as table {}").format(
                sql.Identifier("pg_temp", f"former_{name}"), cursor.home.own(name)
            )
        )
    ddl.as_owner(cursor)
    for name in kept:
        cursor.execute(sql.SQL("drop table {}").format(cursor.home.own(name)))
    _create_slices(cursor)
    ddl.as_publisher(cursor)
    for name, column, value in (
        (ddl.SLICES, "hash", versions.SUM_OF_SLICES),
        (ddl.UNDO_SLICES, "version", sql.SQL("min(version)")),
    ):
        cursor.execute(
            sql.SQL(
                "insert into {table} ({column}, rollup, part, bucket, tenants, days, hashes) select {value}, rollup, "
                "{part}, {bucket}, array_agg(tenant_id), array_agg(slice.day), array_agg(slice.hash) from {former} "
                "cross join unnest(days, hashes) as slice (day, hash) group by rollup, {part}, {bucket}, {version}"
            ).format(
                table=cursor.home.own(name),
                column=sql.Identifier(column),
                value=value,
                part=versions.PART,
                bucket=versions.BUCKET,
                former=sql.Identifier("pg_temp", f"former_{name}"),
                version=sql.SQL("version" if name == ddl.UNDO_SLICES else "()"),
            )
        )
    ddl.as_owner(cursor)


def _create_holds(cursor: Cursor) -> None:
    """A tenant may know that its own rollups are held at a version, which is how it sees that version's stamp."""
    cursor.execute(
        sql.SQL(
            "create table {} (tenant_id uuid primary key, version bigint not null, restores bigint not null, "
            "since timestamptz not null)"
        ).format(cursor.home.table(ddl.HOLDS))
    )
    ddl.isolate(cursor, cursor.home.table(ddl.HOLDS), visible=sql.SQL("tenant_id = {}").format(ddl.CURRENT_TENANT))
    ddl.let_read(cursor, cursor.home.table(ddl.HOLDS), ("tenant_id", "version"))
    text = "Tenants whose rollups were rolled back and stay at a version until they are released."
    ddl.comment(cursor, cursor.home.table(ddl.HOLDS), {None: text})


def _create_residents(cursor: Cursor) -> None:
    """Who may see when a namespace was published: of the pool that tells nothing, of one tenant when it is active."""
    name = cursor.home.table(ddl.RESIDENTS)
    cursor.execute(sql.SQL("create table {} (tenant_id uuid primary key)").format(name))
    ddl.isolate(cursor, name, visible=sql.SQL("tenant_id = {}").format(ddl.CURRENT_TENANT))
    ddl.let_read(cursor, name, ("tenant_id",))
    ddl.comment(cursor, name, {None: "The tenant whose schema this is."})


def settle(cursor: Cursor, residents: list[str]) -> None:
    """Say whose a namespace is; nothing is written where that is known."""
    if cursor.home.is_namespace:
        name = cursor.home.table(ddl.RESIDENTS)
        cursor.execute(sql.SQL("delete from {} where tenant_id <> all (%s::uuid[])").format(name), [residents])
        cursor.execute(
            sql.SQL("insert into {} select unnest(%s::uuid[]) on conflict do nothing").format(name), [residents]
        )


def _create_publications(cursor: Cursor, name: sql.Identifier) -> None:
    """The versions that were published. Readers see when, not how many rows: that would count other tenants'."""
    cursor.execute(sql.SQL("create table {} ({})").format(name, _PUBLICATIONS))
    _isolate_publications(cursor, name)


def _isolate_publications(cursor: Cursor, name: sql.Identifier) -> None:
    cursor.execute(
        sql.SQL("alter table {} add constraint {} primary key (version)").format(
            name, sql.Identifier(f"{ddl.PUBLICATIONS}_pkey")
        )
    )
    ddl.isolate(cursor, name, visible=_visible_publications(cursor))
    ddl.let_read(cursor, name, ("version", "run_id", "as_of", "published_at"))
    text = "One row a published version; the rollups of a version become visible with its row."
    ddl.comment(cursor, name, {None: text})


def _visible_publications(cursor: Cursor) -> sql.Composed:
    visible = sql.SQL(_VISIBLE_PUBLICATIONS + (_AND_RESIDES if cursor.home.is_namespace else ""))
    return visible.format(
        tenant=sql.SQL("(select {})").format(ddl.CURRENT_TENANT),
        holds=cursor.home.table(ddl.HOLDS),
        residents=cursor.home.table(ddl.RESIDENTS),
    )


def _extend_publications(cursor: Cursor) -> None:
    """What publications lacked before versions could be put back."""
    name = cursor.home.table(ddl.PUBLICATIONS)
    _create_holds(cursor)
    cursor.execute(sql.SQL("alter table {} alter column version drop identity if exists").format(name))
    for column, definition in _ADDED_TO_PUBLICATIONS.items():
        cursor.execute(
            sql.SQL("alter table {} add column if not exists {} {}").format(
                name, sql.Identifier(column), sql.SQL(definition)
            )
        )
    cursor.execute(
        sql.SQL("alter policy tenant_isolation on {} using ({})").format(name, _visible_publications(cursor))
    )


def _add_column(cursor: Cursor, name: sql.Identifier, column: Column) -> None:
    cursor.execute(
        sql.SQL("alter table {} add column if not exists {} {}").format(
            name, sql.Identifier(column.name), ddl.type_of(column)
        )
    )


def _ensure_schema(cursor: Cursor, name: str) -> bool:
    found = cursor.execute(
        "select pg_has_role(%s, nspowner, 'usage') from pg_namespace where nspname = %s", [ddl.OWNER, name]
    ).fetchone()
    if found:
        # What was made of a slug may be called like something of the product's.
        if cursor.home.is_namespace and not found[0]:
            raise TailraceError(
                f"{cursor.home.name}: schema {name} is there and is not {ddl.OWNER}'s; "
                "set serving.namespace_schemas to a pattern that nothing else is named by"
            )
        return False
    ddl.as_owner(cursor)
    cursor.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
    grantees = [ddl.PUBLISHER, *([ddl.READER] if name == cursor.home.schema else [])]
    cursor.execute(
        sql.SQL("grant usage on schema {} to {}").format(
            sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, grantees))
        )
    )
    ddl.as_publisher(cursor)
    return True


def _wait_briefly(cursor: Cursor) -> None:
    cursor.execute("select set_config('lock_timeout', %s, true)", [str(WAIT_MS)])


def _in_turns(act: Callable[[], None], *, doing: str) -> None:
    """Do what readers may be in the way of; give way and come again until it is done.

    Raises TailraceError when ``PATIENCE_SECONDS`` are over.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > until:
                raise TailraceError(
                    f"{doing}: transactions that read the published tables did not end within "
                    f"{PATIENCE_SECONDS:.0f} s; end them (pg_stat_activity names them), or run again later"
                ) from None
            time.sleep(_PAUSE_SECONDS)
