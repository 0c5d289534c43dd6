"""Put the version before back, from the rows that later versions replaced; and forget such rows for good.

A rollback is a publication of its own, which names what it restored, and holds the tenants concerned there: publishes
leave theirs alone, and say so, until they are released. It needs neither the warehouse nor dbt.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from serving import ddl, holds, versions
from serving.contract import TENANT, Column, TableContract
from serving.publish import DIRECTORY
from serving.session import session, take_turn
from settings import Settings, TailraceError

Cursor = ddl.Cursor


@dataclass(frozen=True, kw_only=True)
class Restored:
    """``version`` is the new publication, with the content of ``restores``; ``rows`` were changed for it."""

    database: str
    version: int
    restores: int
    run_id: str
    as_of: datetime
    rows: int
    tenants: int


@dataclass(frozen=True, kw_only=True)
class _Step:
    """From the content that stands to the content before it. ``made_by`` is the run that made the former."""

    latest: int
    content: int
    made_by: str | None
    published_at: datetime
    target: int | None


def rollback(settings: Settings, *, tenant: str | None = None) -> list[Restored]:
    """Undo the last published run, for everybody or for one tenant, and hold them there.

    A database to which that run brought nothing stays as it is. Raises TailraceError when there is nothing to undo, or
    what the version before held is not kept any more; that database, and those after it, stay as they are.
    """
    databases = settings.rollup_databases()
    steps: dict[str, _Step] = {}
    for database, dsn in databases.items():
        with session(database, dsn) as connection, connection.transaction(), connection.cursor() as cursor:
            if found := _step(cursor, database, tenant):
                steps[database] = found
    if not steps:
        whose = "" if tenant is None else f" of tenant {tenant}"
        raise TailraceError(f"rollback: nothing{whose} is published in {', '.join(databases)}; check the tenant's id")
    last = max(steps.values(), key=lambda step: step.published_at)
    restored = []
    for database, step in steps.items():
        if step.made_by == last.made_by:
            with session(database, databases[database]) as connection:
                with connection.transaction(), connection.cursor() as cursor:
                    take_turn(cursor)
                    restored.append(_restore(cursor, database, tenant))
    return restored


def release(settings: Settings, *, tenant: str | None = None) -> int:
    """Let a tenant, or all, go on with the next publish; how many were held."""
    released = 0
    for database, dsn in settings.rollup_databases().items():
        with session(database, dsn) as connection, connection.transaction(), connection.cursor() as cursor:
            if ddl.exists(cursor, ddl.HOLDS):
                released += holds.release(cursor, tenants=None if tenant is None else [tenant])
    return released


def forget(settings: Settings, *, tenant: str) -> dict[str, int]:
    """Drop every row of a tenant that was kept for a rollback, and release it; rows dropped by database.

    From then on a rollback leaves the tenant as it stands.
    """
    dropped = {}
    for database, dsn in settings.rollup_databases().items():
        with session(database, dsn) as connection, connection.transaction(), connection.cursor() as cursor:
            if not ddl.exists(cursor, ddl.UNDO_SLICES, schema=ddl.PRIVATE):
                continue
            take_turn(cursor)
            holds.release(cursor, tenants=[tenant])
            gone = 0
            for name in (*_undo_tables(cursor), ddl.UNDO_SLICES):
                gone += cursor.execute(
                    sql.SQL("delete from {} where tenant_id = %s").format(ddl.private(name)), [tenant]
                ).rowcount
            dropped[database] = gone
    return dropped


def _step(cursor: Cursor, database: str, tenant: str | None) -> _Step | None:
    """What a rollback would do here; None where nothing is published, or nothing of the tenant."""
    if not ddl.exists(cursor, ddl.HOLDS):
        return None
    if tenant is not None:
        at_home = sql.SQL("select 1 from {} where tenant_id = %s and database = %s").format(ddl.table(DIRECTORY.name))
        if not cursor.execute(at_home, [tenant, database]).fetchone():
            return None
    rows = cursor.execute(
        sql.SQL(
            "select version, restores, made_by, published_at from {publications} as published "
            "where (tenant_id is null or tenant_id = %(tenant)s) and version <= coalesce("
            "(select held.version from {holds} as held where held.tenant_id = %(tenant)s), version) order by version"
        ).format(publications=ddl.table(ddl.PUBLICATIONS), holds=ddl.table(ddl.HOLDS)),
        {"tenant": tenant},
    ).fetchall()
    if not rows:
        return None
    standing = versions.latest(cursor)
    assert standing is not None
    content = {version: restores or version for version, restores, _, _ in rows}
    now = content[rows[-1][0]]
    made_by, published_at = next(((row[2], row[3]) for row in rows if row[0] == now), rows[-1][2:])
    before = [version for version in content if version < now]
    return _Step(
        latest=standing.version,
        content=now,
        made_by=made_by,
        published_at=published_at,
        target=content[before[-1]] if before else None,
    )


def _restore(cursor: Cursor, database: str, tenant: str | None) -> Restored:
    step = _step(cursor, database, tenant)
    if step is None or step.target is None:
        raise TailraceError(f"{database}: there is no version before the one that stands; publish instead")
    publications = ddl.table(ddl.PUBLICATIONS)
    lost = cursor.execute(
        sql.SQL("select max(version) from {} where version > %s and not kept").format(publications), [step.target]
    ).fetchone()
    if lost and lost[0]:
        raise TailraceError(
            f"{database}: version {step.target} cannot be put back: what version {lost[0]} replaced is not kept (the "
            f"last {versions.KEPT} are, unless a table changed its type or key); build it again and publish"
        )
    version, rows, gained = step.latest + 1, 0, 0
    contracts = [_as_it_stands(cursor, name) for name in _rollups(cursor)]
    for contract in contracts:
        _bring_back(cursor, contract, step.target, tenant)
        done = versions.apply(cursor, contract, version)
        rows, gained = rows + done.written + done.deleted, gained + done.gained
    concerned = [tenant] if tenant is not None else _tenants(cursor)
    run_id, as_of = cursor.execute(
        sql.SQL("select run_id, as_of from {} where version = %s").format(publications), [step.target]
    ).fetchone() or ("", datetime.now())
    standing = versions.latest(cursor)
    versions.record(
        cursor,
        version=version,
        run_id=run_id,
        as_of=as_of,
        rows=(standing.rows if standing else 0) + gained,
        tenant=tenant,
        restores=step.target,
    )
    holds.place(cursor, tenants=concerned, version=version, restores=step.target)
    versions.forget_old(cursor, contracts, version=version, keep=versions.KEPT)
    return Restored(
        database=database,
        version=version,
        restores=step.target,
        run_id=run_id,
        as_of=as_of,
        rows=rows,
        tenants=len(concerned),
    )


def _bring_back(cursor: Cursor, contract: TableContract, target: int, tenant: str | None) -> None:
    """Of each slice that changed since ``target``, what the first such change replaced, for ``versions.apply``."""
    names = {
        "changed": versions.temporary("changed", contract),
        "incoming": versions.temporary("incoming", contract),
        "undo": ddl.undo(contract),
        "undo_slices": ddl.private(ddl.UNDO_SLICES),
        "columns": ddl.names(contract.column_names, of="kept"),
        "same_slice": versions.same_slice(contract, "kept", "changed"),
        "rollup": sql.Literal(contract.name),
        "target": sql.Literal(target),
        "tenant": sql.Literal(tenant),
    }
    for statement in (
        "create temporary table {changed} on commit drop as "
        "select distinct on (tenant_id, slice.day) tenant_id, part, slice.day, slice.hash, version "
        "from {undo_slices} cross join unnest(days, hashes) as slice (day, hash) "
        "where rollup = {rollup} and version > {target} and tenant_id = coalesce({tenant}::uuid, tenant_id) "
        "order by tenant_id, slice.day, version",
        "create temporary table {incoming} on commit drop as select {columns} from {undo} as kept "
        "join {changed} as changed on changed.version = kept.version and {same_slice}",
        "analyze {changed}",
        "analyze {incoming}",
    ):
        cursor.execute(sql.SQL(statement).format(**names))


def _rollups(cursor: Cursor) -> list[str]:
    return [name.removeprefix("undo_") for name in _undo_tables(cursor)]


def _undo_tables(cursor: Cursor) -> list[str]:
    rows = cursor.execute(
        "select relname::text from pg_class where relnamespace = to_regnamespace(%s) and relkind = 'r' "
        "and relname like 'undo\\_%%' and relname <> %s order by relname",
        [ddl.PRIVATE, ddl.UNDO_SLICES],
    ).fetchall()
    return [row[0] for row in rows]


def _as_it_stands(cursor: Cursor, name: str) -> TableContract:
    """The shape of a published table out of the catalogue, with the columns that publishing still writes."""
    kept = ddl.columns(cursor, f"undo_{name}", schema=ddl.PRIVATE)
    columns = tuple(Column(name=c, type=kind) for c, kind in ddl.columns(cursor, name).items() if c in kept)
    return TableContract(name=name, source=("", name), columns=columns, key=ddl.key(cursor, name))


def _tenants(cursor: Cursor) -> Collection[str]:
    """Whoever has rollups here."""
    rows = cursor.execute(
        sql.SQL("select distinct {} from {} where rollup <> %s").format(
            sql.Identifier(TENANT), ddl.private(ddl.SLICES)
        ),
        [DIRECTORY.name],
    )
    return [str(row[0]) for row in rows]
