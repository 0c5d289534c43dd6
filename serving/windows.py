"""Rolling windows over published rollups: materialized views that nobody reads, behind views that show a tenant its
own.

PostgreSQL puts no policy on a materialized view. Each is in the private schema, and is read through a view of the same
name that filters by tenant under ``security_barrier``: without it a cheap function in a query would be shown every row.
It belongs to the publisher, whom a policy shows all rows; the owner of the tables, bound by them, would refresh it to
nothing.

A row says which version it is of. All windows of a home are refreshed together, with no publish in between.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from serving import ddl
from serving.contract import TENANT, Measure, TableContract, Window
from serving.session import ADVISORY_LOCK

Cursor = ddl.Cursor
Named = Callable[[str], sql.Identifier]
"""The table that stands under the name of a published one, or is going to."""

REFRESHED = "refreshed"
EVERY_MINUTE = "* * * * *"
_OVERDUE = "10 minutes"
"""After so long the pipeline does what pg_cron should have done."""
_MARK = "window "
_FIGURES = """
create materialized view {name} as
select tenant.tenant_id, {by} period.first_day, period.last_day, figures.days, {measures}, {rank} tenant.version
from (
    select entry.tenant_id, (
        select seen.version from {publications} as seen
        where coalesce(seen.tenant_id = entry.tenant_id, true) and seen.version <= coalesce(
            (select held.version from {holds} as held where held.tenant_id = entry.tenant_id), seen.version
        )
        order by seen.version desc limit 1
    ) as version
    from {directory} as entry
) as tenant
join {publications} as published on published.version = tenant.version
cross join lateral (
    select until - {length} as first_day, until - 1 as last_day
    from (select (published.as_of at time zone 'UTC')::date as until) as stamp
) as period
cross join lateral (
    select {own_by} count(distinct source.{day}) as days, {computed} from {rollup} as source
    where source.tenant_id = tenant.tenant_id and source.{day} between period.first_day and period.last_day
    {grouped} having count(*) > 0
) as figures
order by {order}
"""
_SHOWN = """
create view {view} with (security_barrier) as
select {columns}, version,
    (select published.as_of from {publications} as published where published.version = figures.version) as as_of
from {figures} as figures where tenant_id = {tenant}
"""
# One statement, so that pg_cron and the pipeline do the same. While somebody publishes it is left to the next time.
_REFRESH = """do $refresh$ begin
if pg_try_advisory_xact_lock({lock}) and (
    select row(max(version), max(as_of)) from {publications}
) is distinct from (select row(version, as_of) from {refreshed}) then
    {each}
    delete from {refreshed};
    insert into {refreshed} select max(version), max(as_of) from {publications};
end if; end $refresh$"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A materialized view that is filled, for ``show``."""

    window: Window
    name: sql.Identifier


def of(contracts: Iterable[TableContract]) -> list[tuple[TableContract, Window]]:
    """Every window that is declared, with the table that it is over."""
    return [(contract, window) for contract in contracts for window in contract.windows]


def standing(cursor: Cursor) -> dict[str, tuple[str, str]]:
    """Window → its materialized view and the fingerprint of what it was made by."""
    rows = cursor.execute(
        "select relname::text, obj_description(pg_class.oid, 'pg_class') from pg_class "
        "join pg_namespace on pg_namespace.oid = relnamespace where nspname = %s and relkind = 'm' order by relname",
        [cursor.home.private],
    ).fetchall()
    marks = [(name, str(text).removeprefix(_MARK).split()) for name, text in rows if str(text).startswith(_MARK)]
    return {window: (name, fingerprint) for name, (window, fingerprint) in marks}


def missing(cursor: Cursor, contracts: Iterable[TableContract]) -> list[tuple[TableContract, Window]]:
    """The windows that are not there as they are declared."""
    found = standing(cursor)
    return [
        (contract, window)
        for contract, window in of(contracts)
        if found.get(window.name, ("", ""))[1] != _fingerprint(contract, window)
    ]


def gone(cursor: Cursor, contracts: Iterable[TableContract]) -> dict[str, str]:
    """The windows that stand otherwise than declared, or are declared no more, and their materialized views."""
    wanted = {window.name: _fingerprint(contract, window) for contract, window in of(contracts)}
    return {name: view for name, (view, fingerprint) in standing(cursor).items() if wanted.get(name) != fingerprint}


def every(cursor: Cursor) -> dict[str, str]:
    """The windows that stand and their materialized views."""
    return {name: view for name, (view, _) in standing(cursor).items()}


def make(
    cursor: Cursor, windows: Iterable[tuple[TableContract, Window]], *, version: int, table: Named | None = None
) -> list[Made]:
    """Compute windows in materialized views of their own, beside any that stand; nobody sees them until ``show``."""
    windows = list(windows)
    if not windows:
        return []
    _prepare(cursor)
    made = []
    for contract, window in windows:
        fingerprint = _fingerprint(contract, window)
        name = cursor.home.own(f"{window.name}_{version}_{fingerprint[:6]}")  # beside what stands
        cursor.execute(_figures(contract, window, name, table or cursor.home.table))
        cursor.execute(
            sql.SQL("create unique index on {} ({})").format(name, ddl.names((TENANT, *window.by)))
        )  # which refreshing concurrently asks for
        columns = (*_columns(window), "version")
        without = (sql.SQL("alter column {} set statistics 0").format(sql.Identifier(each)) for each in columns)
        cursor.execute(sql.SQL("alter materialized view {} {}").format(name, sql.SQL(", ").join(without)))
        mark = f"{_MARK}{window.name} {fingerprint}"
        cursor.execute(sql.SQL("comment on materialized view {} is {}").format(name, mark))
        made.append(Made(window=window, name=name))
    return made


def show(cursor: Cursor, made: Iterable[Made]) -> None:
    """Let readers have the windows that were made. Those that stood by their names are gone.

    Views read as who owns them does, so these are the publisher's too: no role that security binds gets at the figures.
    """
    made = list(made)
    if not made:
        return
    _may_create(cursor, cursor.home.schema, sql.SQL("grant create on schema {} to {}"))
    for each in made:
        window, view = each.window, cursor.home.table(each.window.name)
        columns = _columns(window)
        cursor.execute(
            sql.SQL(_SHOWN).format(
                view=view,
                columns=ddl.names(columns),
                publications=cursor.home.table(ddl.PUBLICATIONS),
                figures=each.name,
                tenant=ddl.CURRENT_TENANT,
            )
        )
        shown = ddl.names((*columns, "version", "as_of"))
        cursor.execute(sql.SQL("grant select ({}) on {} to {}").format(shown, view, sql.Identifier(ddl.READER)))
        cursor.execute(sql.SQL("comment on view {} is {}").format(view, window.description))
        for column, text in _described(window).items():
            of_column = sql.SQL("{}.{}").format(view, sql.Identifier(column))
            cursor.execute(sql.SQL("comment on column {} is {}").format(of_column, text))
    _may_create(cursor, cursor.home.schema, sql.SQL("revoke create on schema {} from {}"))


def drop(cursor: Cursor, windows: Mapping[str, str]) -> None:
    """Remove windows and these materialized views. The caller sees to their readers."""
    ddl.as_owner(cursor)  # of the schemas, and so of what is in them
    for name, figures in windows.items():
        cursor.execute(sql.SQL("drop view if exists {}").format(cursor.home.table(name)))
        cursor.execute(sql.SQL("drop materialized view {}").format(cursor.home.own(figures)))
    ddl.as_publisher(cursor)


def refresh(cursor: Cursor, *, now: bool = False) -> None:
    """Bring the windows of a home to what is published there; in a transaction of its own.

    Where pg_cron is at hand it is told to, and this does no more unless it has failed to for ten minutes, or ``now``.
    """
    found = every(cursor)
    if not found:
        return
    statement = _refresh(cursor, found.values())
    scheduled = _schedule(cursor, statement)
    if now or not scheduled or _overdue(cursor):
        cursor.execute(statement)


def unschedule(cursor: Cursor) -> None:
    """Take a home's job from pg_cron."""
    if _cron_at_hand(cursor):
        cursor.execute("select cron.unschedule(jobid) from cron.job where jobname = %s", [_job(cursor)])


def _may_create(cursor: Cursor, schema: str, statement: sql.SQL) -> None:
    ddl.as_owner(cursor)
    cursor.execute(statement.format(sql.Identifier(schema), sql.Identifier(ddl.PUBLISHER)))
    ddl.as_publisher(cursor)


def _prepare(cursor: Cursor) -> None:
    """The publisher's right to make materialized views, and the table that says what was refreshed."""
    row = cursor.execute("select has_schema_privilege(%s, 'create')", [cursor.home.private]).fetchone()
    if not (row and row[0]):
        _may_create(cursor, cursor.home.private, sql.SQL("grant create on schema {} to {}"))
    ddl.as_owner(cursor)
    if not ddl.exists(cursor, REFRESHED, schema=cursor.home.private):
        name = cursor.home.own(REFRESHED)
        cursor.execute(sql.SQL("create table {} (version bigint, as_of timestamptz)").format(name))
        ddl.isolate(cursor, name, visible=None)
    ddl.as_publisher(cursor)


def _figures(contract: TableContract, window: Window, name: sql.Identifier, table: Named) -> sql.Composed:
    assert contract.day is not None
    by = ddl.names(window.by)
    ranked = sql.SQL("rank() over (partition by tenant.tenant_id order by figures.{} desc nulls last) as rank,")
    return sql.SQL(_FIGURES).format(
        name=name,
        by=_then_comma(ddl.names(window.by, of="figures"), window.by),
        own_by=_then_comma(by, window.by),
        grouped=sql.SQL("group by {}").format(by) if window.by else sql.SQL(""),
        measures=ddl.names(tuple(each.name for each in window.measures), of="figures"),
        computed=sql.SQL(", ").join(_computed(each, contract.day) for each in window.measures),
        rank=ranked.format(sql.Identifier(window.rank)) if window.rank else sql.SQL(""),
        publications=table(ddl.PUBLICATIONS),
        holds=table(ddl.HOLDS),
        directory=table("tenant_directory"),
        rollup=table(contract.name),
        day=sql.Identifier(contract.day),
        # In which order a hash gives a tenant's rows depends on how many others there are.
        order=sql.SQL(", ").join(
            [sql.Identifier("tenant", TENANT), *(sql.Identifier("figures", c) for c in window.by)]
        ),
        length=sql.Literal(window.days),
    )


def _then_comma(names: sql.Composed, columns: tuple[str, ...]) -> sql.Composable:
    return names + sql.SQL(",") if columns else sql.SQL("")


def _computed(measure: Measure, day: str) -> sql.Composed:
    column = sql.Identifier("source", measure.column)
    if measure.function == "last":
        of_day = sql.SQL("(array_agg({} order by {} desc))[1]").format(column, sql.Identifier("source", day))
    elif percentile := re.fullmatch(r"p(\d\d?)", measure.function):
        share = sql.Literal(int(percentile[1]) / 100)
        of_day = sql.SQL("percentile_cont({}) within group (order by {})").format(share, column)
    else:
        # One of the closed list of functions that the contract allows.
        of_day = sql.SQL("{}({})").format(sql.SQL({"mean": "avg"}.get(measure.function, measure.function)), column)
    return sql.SQL("{} as {}").format(of_day, sql.Identifier(measure.name))


def _columns(window: Window) -> tuple[str, ...]:
    ranked = ("rank",) if window.rank else ()
    return (TENANT, *window.by, "first_day", "last_day", "days", *(each.name for each in window.measures), *ranked)


def _described(window: Window) -> dict[str, str]:
    found = {
        "first_day": f"First of the {window.days} whole days (UTC) before the day of as_of.",
        "last_day": "Last of them.",
        "days": "How many of them have a row in the rollup.",
        "version": "The publication that the figures are of; those of the rollups may be of a later one.",
        "as_of": "Until when that publication is complete.",
    }
    found |= {each.name: each.description for each in window.measures}
    return found | (
        {"rank": f"Place among the tenant's own by {window.rank}, the highest first."} if window.rank else {}
    )


def _fingerprint(contract: TableContract, window: Window) -> str:
    text = _figures(contract, window, sql.Identifier("figures"), sql.Identifier).as_string(None)
    told = repr((_SHOWN, window.description, sorted(_described(window).items())))
    return hashlib.sha256((text + told).encode()).hexdigest()[:16]


def _refresh(cursor: Cursor, figures: Iterable[str]) -> str:
    each = sql.SQL(" ").join(
        sql.SQL("refresh materialized view concurrently {};").format(cursor.home.own(name)) for name in figures
    )
    statement = sql.SQL(_REFRESH).format(
        lock=sql.Literal(ADVISORY_LOCK),
        publications=cursor.home.table(ddl.PUBLICATIONS),
        refreshed=cursor.home.own(REFRESHED),
        each=each,
    )
    return statement.as_string(None)


def _cron_at_hand(cursor: Cursor) -> bool:
    row = cursor.execute(
        "select has_schema_privilege(pg_namespace.oid, 'usage') from pg_namespace "
        "where nspname = 'cron' and exists (select from pg_extension where extname = 'pg_cron')"
    ).fetchone()
    return bool(row and row[0])


def _job(cursor: Cursor) -> str:
    return f"tailrace windows of {cursor.home.schema}"


def _schedule(cursor: Cursor, statement: str) -> bool:
    """Whether pg_cron refreshes this home from now on."""
    if not _cron_at_hand(cursor):
        return False
    known = cursor.execute(
        "select from cron.job where jobname = %s and command = %s and schedule = %s and active",
        [_job(cursor), statement, EVERY_MINUTE],
    )
    if not known.rowcount:
        cursor.execute("select cron.schedule(%s, %s, %s)", [_job(cursor), EVERY_MINUTE, statement])
    return True


def _overdue(cursor: Cursor) -> bool:
    row = cursor.execute(
        sql.SQL(
            "select exists (select from {} where published_at < now() - %s::interval "
            "and version > coalesce((select version from {}), 0))"
        ).format(cursor.home.table(ddl.PUBLICATIONS), cursor.home.own(REFRESHED)),
        [_OVERDUE],
    ).fetchone()
    return bool(row and row[0])
