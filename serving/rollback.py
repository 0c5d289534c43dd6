"""Put the version before back, from the rows that later versions replaced; and forget such rows for good.

A rollback is a publication of its own, which names what it restored, and holds the tenants concerned there: publishes
leave theirs alone, and say so, until they are released. It needs neither the warehouse nor dbt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from psycopg import sql

from serving import ddl, holds, migrate, versions, windows
from serving.contract import Column, TableContract
from serving.homes import SHARED, Home
from serving.publish import DIRECTORY
from serving.session import session, take_turn, transaction
from settings import Settings, TailraceError

Cursor = ddl.Cursor
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Restored:
    """``version`` is the new publication, with the content of ``restores``; ``rows`` were changed for it."""

    home: Home
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

    A home to which that run brought nothing, or its first version, stays as it is. Raises TailraceError when there is
    nothing to undo, or what the version before held is not kept any more; that home, and those after it, stay as they
    are.
    """
    databases = settings.rollup_databases()
    found = _in_each_home(databases, lambda cursor: _step(cursor, tenant))
    steps = {home: step for home, step in found.items() if step is not None}
    if not steps:
        whose = "" if tenant is None else f" of tenant {tenant}"
        raise TailraceError(f"rollback: nothing{whose} is published in {', '.join(databases)}; check the tenant's id")
    last = max(steps.values(), key=lambda step: step.published_at)
    concerned = {home: step.target for home, step in steps.items() if step.made_by == last.made_by}
    restored = []
    for home in [each for each, target in concerned.items() if target is not None] or concerned:
        with session(home.database, databases[home.database]) as connection, transaction(connection, home) as cursor:
            take_turn(cursor)
            restored.append(_restore(cursor, tenant))
        with session(home.database, databases[home.database]) as connection, transaction(connection, home) as cursor:
            windows.refresh(cursor)
    return restored


def release(settings: Settings, *, tenant: str | None = None) -> int:
    """Let a tenant, or all, go on with the next publish; how many were held."""

    def let_go(cursor: Cursor) -> int:
        if not ddl.exists(cursor, ddl.HOLDS):
            return 0
        return holds.release(cursor, tenants=None if tenant is None else [tenant])

    return sum(_in_each_home(settings.rollup_databases(), let_go).values())


def forget(settings: Settings, *, tenant: str) -> dict[str, int]:
    """Drop every row of a tenant that was kept for a rollback, and release it; rows dropped by home.

    From then on a rollback leaves the tenant as it stands.
    """

    def let_go(cursor: Cursor) -> int | None:
        if not ddl.exists(cursor, ddl.UNDO_SLICES, schema=cursor.home.private):
            return None
        take_turn(cursor)
        holds.release(cursor, tenants=[tenant])
        return versions.forget_tenants(cursor, [tenant])

    databases = settings.rollup_databases()
    dropped = _in_each_home(databases, let_go)
    _in_each_home(databases, lambda cursor: windows.refresh(cursor, now=True))
    return {home.name: rows for home, rows in dropped.items() if rows is not None}


def _in_each_home(databases: Mapping[str, str], act: Callable[[Cursor], T]) -> dict[Home, T]:
    """Do something in every home that stands, each in a transaction of its own."""
    done = {}
    for database, dsn in databases.items():
        with session(database, dsn) as connection:
            for home in (Home(database), *migrate.namespaces(connection, database)):
                with transaction(connection, home) as cursor:
                    done[home] = act(cursor)
    return done


def _step(cursor: Cursor, tenant: str | None) -> _Step | None:
    """What a rollback would do here; None where nothing is published, or nothing of the tenant."""
    if not ddl.exists(cursor, ddl.HOLDS):
        return None
    if tenant is not None:
        # Before tenants had schemas of their own the directory named none.
        at_home = sql.SQL(
            "select from {} as entry where tenant_id = %s and database = %s "
            "and coalesce(to_jsonb(entry) ->> 'schema', %s) = %s"
        ).format(cursor.home.table(DIRECTORY.name))
        here = [cursor.home.database, SHARED, cursor.home.schema]
        if not cursor.execute(at_home, [tenant, *here]).rowcount:
            return None
    rows = cursor.execute(
        sql.SQL(
            "select version, restores, made_by, published_at from {publications} as published "
            "where (tenant_id is null or tenant_id = %(tenant)s) and version <= coalesce("
            "(select held.version from {holds} as held where held.tenant_id = %(tenant)s), version) order by version"
        ).format(publications=cursor.home.table(ddl.PUBLICATIONS), holds=cursor.home.table(ddl.HOLDS)),
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


def _restore(cursor: Cursor, tenant: str | None) -> Restored:
    step, where = _step(cursor, tenant), cursor.home.name
    if step is None or step.target is None:
        raise TailraceError(f"{where}: there is no version before the one that stands; publish instead")
    publications = cursor.home.table(ddl.PUBLICATIONS)
    lost = cursor.execute(
        sql.SQL("select max(version) from {} where version > %s and not kept").format(publications), [step.target]
    ).fetchone()
    if lost and lost[0]:
        raise TailraceError(
            f"{where}: version {step.target} cannot be put back: what version {lost[0]} replaced is not kept (the "
            f"last {versions.KEPT} are, unless a table changed its type or key); build it again and publish"
        )
    version, rows, gained = step.latest + 1, 0, 0
    contracts = [_as_it_stands(cursor, name) for name in _rollups(cursor)]
    for contract in contracts:
        incoming = _bring_back(cursor, contract, step.target, tenant)
        replaced = versions.set_aside(cursor, contract, version)
        done = versions.apply(cursor, contract, standing=replaced, incoming=incoming)
        _bring_back_hashes(cursor, contract)
        rows, gained = rows + done.written + done.deleted, gained + done.gained
    concerned = [tenant] if tenant is not None else _tenants(cursor)
    then = cursor.execute(
        sql.SQL("select run_id, as_of from {} where version = %s").format(publications), [step.target]
    ).fetchone()
    standing = versions.latest(cursor)
    assert then is not None
    assert standing is not None
    run_id, as_of = then
    versions.record(
        cursor,
        version=version,
        run_id=run_id,
        as_of=as_of,
        rows=standing.rows + gained,
        tenant=tenant,
        restores=step.target,
    )
    holds.place(cursor, tenants=concerned, version=version, restores=step.target)
    versions.forget_old(cursor, contracts, version=version, keep=versions.KEPT)
    return Restored(
        home=cursor.home,
        version=version,
        restores=step.target,
        run_id=run_id,
        as_of=as_of,
        rows=rows,
        tenants=len(concerned),
    )


def _bring_back(cursor: Cursor, contract: TableContract, target: int, tenant: str | None) -> int:
    """Of each slice that changed since ``target``, what the first such change replaced, for ``versions.apply``.

    Returns how many rows that is.
    """
    names = {
        "changed": versions.temporary("changed", contract),
        "incoming": versions.temporary("incoming", contract),
        "undo": ddl.undo(cursor, contract),
        "undo_slices": cursor.home.own(ddl.UNDO_SLICES),
        "slices": cursor.home.own(ddl.SLICES),
        "columns": ddl.names(contract.column_names, of="kept"),
        "same_slice": versions.same_slice(contract, "kept", "changed"),
        "rollup": sql.Literal(contract.name),
        "target": sql.Literal(target),
        "tenant": sql.Literal(tenant),
    }
    for statement in (
        "create temporary table {changed} on commit drop as "
        "select tenant_id, day, kept.hash, now.hash as was, version from ("
        "select distinct on (slice.tenant_id, slice.day) slice.*, version "
        "from {undo_slices} cross join unnest(tenants, days, hashes) as slice (tenant_id, day, hash) "
        "where rollup = {rollup} and version > {target} "
        "and slice.tenant_id = coalesce({tenant}::uuid, slice.tenant_id) "
        "order by slice.tenant_id, slice.day, version"
        ") as kept left join ("
        "select slice.* from {slices} cross join unnest(tenants, days, hashes) as slice (tenant_id, day, hash) "
        "where rollup = {rollup} and (part, bucket) in (select part, bucket from {undo_slices} where rollup = {rollup} "
        "and version > {target})"
        ") as now using (tenant_id, day)",
        "analyze {changed}",
    ):
        cursor.execute(sql.SQL(statement).format(**names))
    rows = cursor.execute(
        sql.SQL(
            "create temporary table {incoming} on commit drop as select {columns} from {undo} as kept "
            "join {changed} as changed on changed.version = kept.version and {same_slice}"
        ).format(**names)
    ).rowcount
    cursor.execute(sql.SQL("analyze {incoming}").format(**names))
    return rows


def _bring_back_hashes(cursor: Cursor, contract: TableContract) -> None:
    """Put the hashes of the slices that changed in the place of those that stand."""
    names = {
        "changed": versions.temporary("changed", contract),
        "parts": versions.temporary("parts", contract),
        "slices": cursor.home.own(ddl.SLICES),
        "part": versions.PART,
        "bucket": versions.BUCKET,
        "sum": versions.SUM_OF_SLICES,
        "rollup": sql.Literal(contract.name),
    }
    for statement in (
        "create temporary table {parts} on commit drop as "
        "select {part} as part, {bucket} as bucket, {sum} as hash, array_agg(tenant_id) as tenants, "
        "array_agg(day) as days, array_agg(slice.hash) as hashes from ("
        "select slice.* from {slices} cross join unnest(tenants, days, hashes) as slice (tenant_id, day, hash) "
        "where rollup = {rollup} and (part, bucket) in (select {part}, {bucket} from {changed}) "
        "and not exists (select from {changed} as changed "
        "where changed.tenant_id = slice.tenant_id and changed.day = slice.day) "
        "union all select tenant_id, day, hash from {changed} where hash is not null"
        ") as slice group by 1, 2",
        "delete from {slices} where rollup = {rollup} and (part, bucket) in (select {part}, {bucket} from {changed})",
        "insert into {slices} (rollup, part, bucket, hash, tenants, days, hashes) "
        "select {rollup}, part, bucket, hash, tenants, days, hashes from {parts}",
    ):
        cursor.execute(sql.SQL(statement).format(**names))


def _rollups(cursor: Cursor) -> list[str]:
    return [name.removeprefix("undo_") for name in versions.undo_tables(cursor)]


def _as_it_stands(cursor: Cursor, name: str) -> TableContract:
    """The shape of a published table out of the catalogue, with the columns that publishing still writes."""
    kept = ddl.columns(cursor, f"undo_{name}", schema=cursor.home.private)
    columns = tuple(Column(name=c, type=kind) for c, kind in ddl.columns(cursor, name).items() if c in kept)
    return TableContract(name=name, source=("", name), columns=columns, key=ddl.key(cursor, name))


def _tenants(cursor: Cursor) -> Collection[str]:
    """Whoever has rollups here."""
    rows = cursor.execute(
        sql.SQL("select distinct unnest(tenants) from {} where rollup <> %s").format(cursor.home.own(ddl.SLICES)),
        [DIRECTORY.name],
    )
    return [str(row[0]) for row in rows]
