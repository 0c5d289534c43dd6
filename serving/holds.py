"""Tenants whose rollups were rolled back: publishing leaves theirs alone until they are released."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from serving import ddl

Cursor = ddl.Cursor


def standing(cursor: Cursor, *, residents: Collection[str]) -> set[str]:
    """The tenants that are held. A hold of a tenant that is not at home here any more goes."""
    found = {
        str(row[0]) for row in cursor.execute(sql.SQL("select tenant_id from {}").format(cursor.home.table(ddl.HOLDS)))
    }
    if gone := found - set(residents):
        release(cursor, tenants=gone)
    return found & set(residents)


def place(cursor: Cursor, *, tenants: Collection[str], version: int, restores: int) -> None:
    """Hold tenants at ``version``, which has the content of ``restores``; one that is held further back stays there."""
    cursor.execute(
        sql.SQL(
            "insert into {} as held select unnest(%s::uuid[]), %s, %s, clock_timestamp() on conflict (tenant_id) "
            "do update set version = excluded.version, restores = excluded.restores, since = excluded.since "
            "where excluded.restores < held.restores"
        ).format(cursor.home.table(ddl.HOLDS)),
        [list(tenants), version, restores],
    )


def release(cursor: Cursor, *, tenants: Collection[str] | None = None) -> int:
    """Let tenants, or all, go on with the next publish; how many were held."""
    where = sql.SQL("" if tenants is None else "where tenant_id = any(%s::uuid[])")
    return cursor.execute(
        sql.SQL("delete from {} {}").format(cursor.home.table(ddl.HOLDS), where),
        None if tenants is None else [list(tenants)],
    ).rowcount
