"""Published tables as PostgreSQL: names, columns, isolation, and the publisher's own tables beside them.

Every table has row-level security enabled and forced. Two policies stand on what tenants read: whoever may select
sees the rows of the tenant in ``app.current_tenant_id`` (nobody's when it is unset), and the publisher, who writes,
sees all. The publisher's own tables are in a schema that nobody else may use, and have the second policy alone.

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
from serving.homes import Home

OWNER, PUBLISHER, READER = "tailrace_owner", "tailrace_publisher", "tailrace_reader"
PUBLICATIONS, HOLDS, RESIDENTS, SLICES, UNDO_SLICES = "publications", "holds", "residents", "slices", "undo_slices"

# Every key leads with the tenant, so the setting is read once, to look into the index; a subquery would cost more.
CURRENT_TENANT = sql.SQL("nullif(current_setting('app.current_tenant_id', true), '')::uuid")


class Cursor(psycopg.Cursor[Any]):
    """A cursor that works in one home."""

    def __init__(self, connection: psycopg.Connection[Any], home: Home) -> None:
        super().__init__(connection)
        self.home = home


def undo(cursor: Cursor, contract: TableContract) -> sql.Identifier:
    """The table with the rows that versions of a rollup replaced."""
    return cursor.home.own(f"undo_{contract.name}")


def names(columns: tuple[str, ...], *, of: str | None = None) -> sql.Composed:
    """A comma list of quoted columns, qualified by ``of`` when given."""
    return sql.SQL(", ").join(sql.Identifier(of, each) if of else sql.Identifier(each) for each in columns)


def column_definitions(contract: TableContract) -> sql.Composed:
    """``name type [not null], …``: key columns cannot be null."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name), type_of(column), sql.SQL(" not null" if column.name in contract.key else "")
        )
        for column in contract.columns
    )


def type_of(column: Column) -> sql.SQL:
    # The type comes out of the contract's closed list of spellings, not out of input.
    return sql.SQL(column.type)


def as_owner(cursor: Cursor) -> None:
    """Act as ``tailrace_owner`` until the transaction ends or ``as_publisher``."""
    cursor.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))


def as_publisher(cursor: Cursor) -> None:
    cursor.execute("reset role")


def isolate(cursor: Cursor, name: sql.Identifier, *, visible: sql.Composable | None) -> None:
    """Enable and force security. ``visible`` is what a tenant sees; None for the publisher's own tables."""
    statements = [
        sql.SQL("alter table {table} enable row level security"),
        sql.SQL("alter table {table} force row level security"),
        sql.SQL("create policy publisher_writes on {table} to {publisher} using (true) with check (true)"),
        sql.SQL("grant select, insert, update, delete on {table} to {publisher}"),
    ]
    if visible is not None:
        statements.append(sql.SQL("create policy tenant_isolation on {table} for select using ({visible})"))
    for statement in statements:
        cursor.execute(statement.format(table=name, visible=visible, publisher=sql.Identifier(PUBLISHER)))


def let_read(cursor: Cursor, name: sql.Identifier, columns: tuple[str, ...]) -> None:
    """Grant readers the columns alone, and keep no statistics of them."""
    cursor.execute(sql.SQL("grant select ({}) on {} to {}").format(names(columns), name, sql.Identifier(READER)))
    without = sql.SQL(", ").join(
        sql.SQL("alter column {} set statistics 0").format(sql.Identifier(column)) for column in columns
    )
    cursor.execute(sql.SQL("alter table {} {}").format(name, without))


def withheld(cursor: Cursor, name: str) -> bool:
    """Whether readers of the published table have columns only, and no column has statistics."""
    row = cursor.execute(
        """
        select not has_table_privilege(%s, attrelid, 'select') and bool_and(coalesce(attstattarget, -1) = 0)
        from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped group by attrelid
        """,
        [READER, cursor.home.regclass(name)],
    ).fetchone()
    return bool(row and row[0])


def isolated(cursor: Cursor, name: str) -> bool:
    """Security is on and forced, and exactly the two policies stand on the published table."""
    row = cursor.execute(
        """
        select relrowsecurity and relforcerowsecurity
            and (select array_agg(polname::text order by polname) from pg_policy where polrelid = pg_class.oid)
                = array['publisher_writes', 'tenant_isolation']
        from pg_class where oid = to_regclass(%s)
        """,
        [cursor.home.regclass(name)],
    ).fetchone()
    return bool(row and row[0])


def exists(cursor: Cursor, name: str, *, schema: str | None = None) -> bool:
    """Whether there is such a table, by default a published one."""
    # Not by information_schema, which hides tables that the current role may not read.
    row = cursor.execute(
        "select 1 from pg_class where relname = %s and relnamespace = to_regnamespace(quote_ident(%s))",
        [name, schema or cursor.home.schema],
    ).fetchone()
    return row is not None


def columns(cursor: Cursor, name: str, *, schema: str | None = None) -> dict[str, str]:
    """Column → type of a table, by default a published one, as it stands."""
    rows = cursor.execute(
        """
        select attname::text, format_type(atttypid, atttypmod) from pg_attribute
        join pg_class on pg_class.oid = attrelid
        where relname = %s and relnamespace = to_regnamespace(quote_ident(%s)) and attnum > 0 and not attisdropped
        """,
        [name, schema or cursor.home.schema],
    ).fetchall()
    return dict(rows)


def key(cursor: Cursor, name: str) -> tuple[str, ...]:
    """The columns of the primary key that stands."""
    rows = cursor.execute(
        """
        select attname::text from pg_index
        cross join unnest(indkey::smallint[]) with ordinality as part (number, place)
        join pg_attribute on attrelid = indrelid and attnum = part.number
        where indrelid = to_regclass(%s) and indisprimary order by part.place
        """,
        [cursor.home.regclass(name)],
    ).fetchall()
    return tuple(row[0] for row in rows)


def comments_missing(cursor: Cursor, contract: TableContract) -> dict[str | None, str]:
    """Column (None: the table) → description, of those that differ from what stands."""
    rows = cursor.execute(
        """
        select attname::text, coalesce(col_description(attrelid, attnum), '') from pg_attribute
        where attrelid = to_regclass(%(table)s) and attnum > 0 and not attisdropped
        union all select null, coalesce(obj_description(to_regclass(%(table)s), 'pg_class'), '')
        """,
        {"table": cursor.home.regclass(contract.name)},
    ).fetchall()
    actual = dict(rows)
    wanted = {None: contract.description} | {column.name: column.description for column in contract.columns}
    return {name: text for name, text in wanted.items() if actual.get(name, "") != text}


def comment(cursor: Cursor, name: sql.Identifier, texts: dict[str | None, str]) -> None:
    """Describe a table and its columns."""
    for column, text in texts.items():
        if column is None:
            cursor.execute(sql.SQL("comment on table {} is {}").format(name, text))
        else:
            of = sql.SQL("{}.{}").format(name, sql.Identifier(column))
            cursor.execute(sql.SQL("comment on column {} is {}").format(of, text))
