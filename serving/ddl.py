"""Published tables as PostgreSQL: created, isolated and migrated out of their contracts, inside the publish itself.

Every table has row-level security enabled and forced. Two policies stand on it: whoever may select sees the rows of the
tenant in ``app.current_tenant_id`` (nobody's when it is unset), and the publisher, who writes, sees all of them.

Policies do not cover what a reader learns about rows without reading them, so two things more are withheld. Columns are
granted, not tables: ``ctid`` would tell how many rows of others lie between one's own. And no statistics of columns are
kept: the planner's estimates would tell whose ids and which values are in them. Reading needs none, for the key leads
with the tenant.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from serving.contract import Column, TableContract
from settings import TailraceError

SCHEMA = "tenant_analytics"
OWNER, PUBLISHER, READER = "tailrace_owner", "tailrace_publisher", "tailrace_reader"
PUBLICATIONS = "publications"

_CURRENT_TENANT = sql.SQL("nullif(current_setting('app.current_tenant_id', true), '')::uuid")
_PUBLICATIONS_COLUMNS = sql.SQL(
    "version bigint generated always as identity primary key, run_id text not null, as_of timestamptz not null, "
    "published_at timestamptz not null, rows bigint not null"
)

Cursor = psycopg.Cursor[Any]


def table(name: str) -> sql.Identifier:
    """A published table's quoted, qualified name."""
    return sql.Identifier(SCHEMA, name)


def names(columns: tuple[str, ...], *, of: str | None = None) -> sql.Composed:
    """A comma list of quoted columns, qualified by ``of`` when given."""
    return sql.SQL(", ").join(sql.Identifier(of, each) if of else sql.Identifier(each) for each in columns)


def column_definitions(contract: TableContract) -> sql.Composed:
    """``name type [not null], …``: key columns cannot be null."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name), _type(column), sql.SQL(" not null" if column.name in contract.key else "")
        )
        for column in contract.columns
    )


def migrate(cursor: Cursor, contracts: list[TableContract]) -> list[str]:
    """Bring the database to the contracts, as ``tailrace_owner``; returns what was done, nothing when all fits.

    A new column is added in place. A changed type or key replaces the table within the caller's transaction: readers
    have the old table until it commits, and then the new one, filled. A column that left the contract stays, unwritten.
    """
    cursor.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
    done = _ensure_schema(cursor)
    if not _exists(cursor, PUBLICATIONS):
        _create_publications(cursor)
        done.append(f"created {PUBLICATIONS}")
    for contract in contracts:
        done += _ensure_table(cursor, contract)
    cursor.execute("reset role")
    return done


def _ensure_schema(cursor: Cursor) -> list[str]:
    if cursor.execute("select 1 from pg_namespace where nspname = %s", [SCHEMA]).fetchone():
        return []
    cursor.execute(sql.SQL("create schema {}").format(sql.Identifier(SCHEMA)))
    cursor.execute(
        sql.SQL("grant usage on schema {} to {}, {}").format(
            sql.Identifier(SCHEMA), sql.Identifier(PUBLISHER), sql.Identifier(READER)
        )
    )
    return [f"created schema {SCHEMA}"]


def _ensure_table(cursor: Cursor, contract: TableContract) -> list[str]:
    if not _exists(cursor, contract.name):
        _create_table(cursor, contract)
        return [f"created {contract.name}"]
    done = []
    actual = _columns(cursor, contract.name)
    same_key = _key(cursor, contract.name) == contract.key
    same_types = all(actual.get(column.name, column.type) == column.type for column in contract.columns)
    # Statistics that were kept cannot be taken out of a table by its owner.
    if not (same_key and same_types and _withheld(cursor, contract.name)):
        cursor.execute(sql.SQL("drop table {}").format(table(contract.name)))
        _create_table(cursor, contract)
        return [f"replaced {contract.name}"]
    for column in contract.columns:
        if column.name not in actual:
            cursor.execute(
                sql.SQL("alter table {} add column {} {}").format(
                    table(contract.name), sql.Identifier(column.name), _type(column)
                )
            )
            _let_read(cursor, contract.name, (column.name,))
            done.append(f"added {contract.name}.{column.name}")
    if not _isolated(cursor, contract.name):
        raise TailraceError(
            f"{SCHEMA}.{contract.name}: row-level security is off, not forced, or its policies were changed; "
            f"drop the table and publish again"
        )
    return done + _comment(cursor, contract)


def _create_table(cursor: Cursor, contract: TableContract) -> None:
    cursor.execute(
        sql.SQL("create table {} ({}, primary key ({}))").format(
            table(contract.name), column_definitions(contract), names(contract.key)
        )
    )
    _isolate(cursor, contract.name, visible=sql.SQL("tenant_id = {}").format(_CURRENT_TENANT))
    _let_read(cursor, contract.name, contract.column_names)
    _comment(cursor, contract)


def _create_publications(cursor: Cursor) -> None:
    """The versions that were published. Readers see when, not how many rows: that would count other tenants'."""
    cursor.execute(sql.SQL("create table {} ({})").format(table(PUBLICATIONS), _PUBLICATIONS_COLUMNS))
    _isolate(cursor, PUBLICATIONS, visible=sql.SQL("{} is not null").format(_CURRENT_TENANT))
    _let_read(cursor, PUBLICATIONS, ("version", "run_id", "as_of", "published_at"))
    cursor.execute(
        sql.SQL("comment on table {} is {}").format(
            table(PUBLICATIONS), "One row a published version; the rollups of a version become visible with its row."
        )
    )


def _let_read(cursor: Cursor, name: str, columns: tuple[str, ...]) -> None:
    """Grant the columns alone, and keep no statistics of them."""
    cursor.execute(sql.SQL("grant select ({}) on {} to {}").format(names(columns), table(name), sql.Identifier(READER)))
    without = sql.SQL(", ").join(
        sql.SQL("alter column {} set statistics 0").format(sql.Identifier(column)) for column in columns
    )
    cursor.execute(sql.SQL("alter table {} {}").format(table(name), without))


def _withheld(cursor: Cursor, name: str) -> bool:
    """Whether the reader has columns only, and no column has statistics."""
    row = cursor.execute(
        """
        select not has_table_privilege(%s, attrelid, 'select') and bool_and(coalesce(attstattarget, -1) = 0)
        from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped group by attrelid
        """,
        [READER, f"{SCHEMA}.{name}"],
    ).fetchone()
    return bool(row and row[0])


def _isolate(cursor: Cursor, name: str, *, visible: sql.Composable) -> None:
    for statement in (
        sql.SQL("alter table {table} enable row level security"),
        sql.SQL("alter table {table} force row level security"),
        sql.SQL("create policy tenant_isolation on {table} for select using ({visible})"),
        sql.SQL("create policy publisher_writes on {table} to {publisher} using (true) with check (true)"),
        sql.SQL("grant select, insert, update, delete on {table} to {publisher}"),
    ):
        cursor.execute(
            statement.format(table=table(name), visible=visible, publisher=sql.Identifier(PUBLISHER)),
        )


def _isolated(cursor: Cursor, name: str) -> bool:
    """Security is on and forced, and exactly the two policies stand on the table."""
    row = cursor.execute(
        """
        select relrowsecurity and relforcerowsecurity
            and (select array_agg(polname::text order by polname) from pg_policy where polrelid = pg_class.oid)
                = array['publisher_writes', 'tenant_isolation']
        from pg_class where oid = to_regclass(%s)
        """,
        [f"{SCHEMA}.{name}"],
    ).fetchone()
    return bool(row and row[0])


def _comment(cursor: Cursor, contract: TableContract) -> list[str]:
    """Set the comments that differ from the contract's descriptions."""
    rows = cursor.execute(
        """
        select attname::text, coalesce(col_description(attrelid, attnum), '') from pg_attribute
        where attrelid = to_regclass(%(table)s) and attnum > 0 and not attisdropped
        union all select '', coalesce(obj_description(to_regclass(%(table)s), 'pg_class'), '')
        """,
        {"table": f"{SCHEMA}.{contract.name}"},
    ).fetchall()
    actual = dict(rows)
    done = []
    if actual[""] != contract.description:
        cursor.execute(sql.SQL("comment on table {} is {}").format(table(contract.name), contract.description))
        done.append(f"described {contract.name}")
    for column in contract.columns:
        if actual[column.name] != column.description:
            cursor.execute(
                sql.SQL("comment on column {} is {}").format(
                    sql.Identifier(SCHEMA, contract.name, column.name), column.description
                )
            )
            done.append(f"described {contract.name}.{column.name}")
    return done


def _exists(cursor: Cursor, name: str) -> bool:
    # Not by information_schema, which hides tables that the current role may not read.
    row = cursor.execute(
        "select 1 from pg_class where relname = %s and relnamespace = to_regnamespace(%s)", [name, SCHEMA]
    ).fetchone()
    return row is not None


def _columns(cursor: Cursor, name: str) -> dict[str, str]:
    rows = cursor.execute(
        """
        select attname::text, format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
        """,
        [f"{SCHEMA}.{name}"],
    ).fetchall()
    return dict(rows)


def _key(cursor: Cursor, name: str) -> tuple[str, ...]:
    rows = cursor.execute(
        """
        select attname::text from pg_index
        cross join unnest(indkey::smallint[]) with ordinality as part (number, place)
        join pg_attribute on attrelid = indrelid and attnum = part.number
        where indrelid = to_regclass(%s) and indisprimary order by part.place
        """,
        [f"{SCHEMA}.{name}"],
    ).fetchall()
    return tuple(row[0] for row in rows)


def _type(column: Column) -> sql.SQL:
    # The type comes out of the contract's closed list of spellings, not out of input.
    return sql.SQL(column.type)
