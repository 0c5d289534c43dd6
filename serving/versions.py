"""One version after another in a database: slices replaced, what they replaced kept, and the version recorded.

All of it happens in the caller's transaction. The hashes of what stands are written with it, so they cannot lie about
it; what a version replaced stays beside it, bounded, until it is too old to be put back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from psycopg import sql

from serving import ddl, rowcopy, slices
from serving.contract import TENANT, Column, TableContract

Cursor = ddl.Cursor

_WHOLE = (
    "{changed} as changed join lateral (select ctid as place, {columns} from {target} as published) as published "
    "on {same_slice}"
)
# Where nothing may be pulled out of the subquery, it is one look into the index for each part.
_BY_INDEX = (
    "({parts}) as changed cross join lateral (select ctid as place, {columns} from {target} as published "
    "where {same_part} offset 0) as published"
)
KEPT = 5
"""Versions whose replaced rows are kept, and so how far back a rollback can go."""


@dataclass(frozen=True, kw_only=True)
class Latest:
    """The last publication. ``restores``: the version that it put back, for everybody or for one tenant."""

    version: int
    rows: int
    restores: int | None


@dataclass(frozen=True, kw_only=True)
class Written:
    """``written`` rows were new or different, ``deleted`` rows are gone; ``gained`` is how many more stand now."""

    written: int = 0
    deleted: int = 0
    gained: int = 0


def latest(cursor: Cursor) -> Latest | None:
    row = cursor.execute(
        sql.SQL("select version, rows, restores from {} order by version desc limit 1").format(
            cursor.home.table(ddl.PUBLICATIONS)
        )
    ).fetchone()
    return Latest(version=row[0], rows=row[1], restores=row[2]) if row else None


def move_on(cursor: Cursor, *, run_id: str, as_of: datetime) -> None:
    """What everybody sees is known to hold until ``as_of``; nothing is written when it already was."""
    cursor.execute(
        sql.SQL(
            "update {publications} set run_id = %s, as_of = %s where as_of < %s and version = "
            "(select max(version) from {publications} where tenant_id is null)"
        ).format(publications=cursor.home.table(ddl.PUBLICATIONS)),
        [run_id, as_of, as_of],
    )


def known(cursor: Cursor, contract: TableContract) -> bool:
    """Whether the hashes speak of this table: they do not where rows were published before there were any."""
    row = cursor.execute(
        sql.SQL("select exists (select from {} where rollup = {}) or not exists (select from {})").format(
            cursor.home.own(ddl.SLICES), contract.name, cursor.home.table(contract.name)
        )
    ).fetchone()
    return bool(row and row[0])


def stored_parts(cursor: Cursor, contract: TableContract, *, without: Iterable[str] = ()) -> pa.Table:
    """The hash of every part that is published, as ``slices.PART_HASH``, but for those of tenants ``without``."""
    query = sql.SQL(
        "select part, array_agg(tenant_id), array_agg(hash) from {} "
        "where rollup = {} and tenant_id <> all ({}::uuid[]) group by part"
    ).format(cursor.home.own(ddl.SLICES), contract.name, list(without))
    columns = (slices.PART[1], Column(name=TENANT, type="uuid[]"), Column(name="hash", type="bigint[]"))
    return rowcopy.copy_out(cursor, query, columns)


def load_touched(cursor: Cursor, contract: TableContract, touched: pa.Table) -> None:
    """Bring the parts touched into a temporary table."""
    _temporary(cursor, "touched", contract, slices.TOUCHED, touched.to_batches())


def stored_slices(cursor: Cursor, contract: TableContract) -> pa.Table:
    """The hashes of the slices published in the parts touched, as ``slices.SLICE``."""
    query = sql.SQL("select number, days, hashes from {}").format(_touched(cursor, contract))
    columns = (slices.TOUCHED[0], *slices.PART_ARRAYS[-2:])
    return rowcopy.copy_out(cursor, query, columns).rename_columns([column.name for column in slices.SLICE])


def replace_parts(cursor: Cursor, contract: TableContract, parts: Iterable[pa.RecordBatch]) -> None:
    """Put these hashes in the place of those of the parts touched."""
    cursor.execute(
        sql.SQL("delete from {} where ctid = any(array(select place from {}))").format(
            cursor.home.own(ddl.SLICES), _touched(cursor, contract)
        )
    )
    store_parts(cursor, contract, parts)


def _touched(cursor: Cursor, contract: TableContract) -> sql.Composable:
    """The parts touched and what stands of them, each by one look into the index, whatever the planner believes."""
    return sql.SQL(
        "{touched} as touched cross join lateral (select ctid as place, days, hashes from {slices} as standing "
        "where rollup = {rollup} and standing.tenant_id = touched.tenant_id and standing.part = touched.part offset 0"
        ") as standing"
    ).format(slices=cursor.home.own(ddl.SLICES), touched=temporary("touched", contract), rollup=contract.name)


def store_parts(cursor: Cursor, contract: TableContract, parts: Iterable[pa.RecordBatch]) -> None:
    """The hashes of parts of which there were none."""
    _temporary(cursor, "parts", contract, slices.PART_ARRAYS, parts)
    cursor.execute(
        sql.SQL(
            "insert into {slices} (rollup, tenant_id, part, hash, days, hashes) "
            "select {rollup}, tenant_id, part, hash, days, hashes from {parts}"
        ).format(slices=cursor.home.own(ddl.SLICES), rollup=contract.name, parts=temporary("parts", contract))
    )


def load_changed(cursor: Cursor, contract: TableContract, changed: Iterable[pa.RecordBatch]) -> None:
    """Bring the slices that changed into a temporary table, for ``set_aside`` and ``apply``."""
    _temporary(cursor, "changed", contract, slices.CHANGED, changed)


def load_incoming(cursor: Cursor, contract: TableContract, rows: Iterable[pa.RecordBatch]) -> None:
    """Bring the rows of the slices that changed into a temporary table, for ``apply``."""
    _temporary(cursor, "incoming", contract, contract.columns, rows)


def note_created(cursor: Cursor, contract: TableContract, version: int) -> None:
    """Before ``version`` there was nothing of this rollup: that is what putting the version before back means."""
    cursor.execute(
        sql.SQL(
            "insert into {undo} (version, rollup, tenant_id, part, days, hashes) select {version}, rollup, tenant_id, "
            "part, days, array_fill(null::bigint, array[cardinality(days)]) from {slices} where rollup = {rollup}"
        ).format(
            undo=cursor.home.own(ddl.UNDO_SLICES),
            slices=cursor.home.own(ddl.SLICES),
            version=version,
            rollup=contract.name,
        )
    )


def set_aside(cursor: Cursor, contract: TableContract, version: int, *, keep: bool = True) -> None:
    """Find the rows that stand in the slices in ``changed``, for ``apply``; ``keep`` them for putting them back."""
    changed = temporary("changed", contract)
    names = {
        "target": cursor.home.table(contract.name),
        "undo": ddl.undo(cursor, contract),
        "undo_slices": cursor.home.own(ddl.UNDO_SLICES),
        "changed": changed,
        "parts": sql.SQL(
            "select tenant_id, part, array_agg(day) as days, array_agg(was) as hashes from {} group by tenant_id, part"
        ).format(changed),
        "standing": temporary("standing", contract),
        "columns": ddl.names(contract.column_names),
        "same_slice": same_slice(contract, "published", "changed"),
        "same_part": same_slice(contract, "published", "changed", days=True),
        "version": sql.Literal(version),
        "rollup": sql.Literal(contract.name),
    }
    found = sql.SQL(_BY_INDEX if _few(cursor, contract) else _WHOLE).format(**names)
    statements = ["create temporary table {standing} on commit drop as select published.* from {found}"]
    if keep:
        statements += [
            "insert into {undo} (version, {columns}) select {version}, {columns} from {standing}",
            "insert into {undo_slices} (version, rollup, tenant_id, part, days, hashes) "
            "select {version}, {rollup}, tenant_id, part, days, hashes from ({parts}) as changed",
        ]
    for statement in statements:
        cursor.execute(sql.SQL(statement).format(found=found, **names))


def apply(cursor: Cursor, contract: TableContract) -> Written:
    """Replace what was set aside by the rows in ``incoming``; a row that stays the same is not touched.

    The hashes are the caller's to replace.
    """
    names = {
        "target": cursor.home.table(contract.name),
        "incoming": temporary("incoming", contract),
        "standing": temporary("standing", contract),
        "columns": ddl.names(contract.column_names),
        "key": ddl.names(contract.key),
        "same_key": sql.SQL("({}) = ({})").format(
            ddl.names(contract.key, of="standing"), ddl.names(contract.key, of="incoming")
        ),
        "same": sql.SQL("row({}) is not distinct from row({})").format(
            ddl.names(contract.column_names, of="standing"), ddl.names(contract.column_names, of="incoming")
        ),
        "values": sql.SQL(", ").join(
            sql.SQL("{} = incoming.{}").format(sql.Identifier(each), sql.Identifier(each)) for each in contract.values
        ),
    }

    def run(query: str) -> int:
        return cursor.execute(sql.SQL(query).format(**names)).rowcount

    run("create unique index on {incoming} ({key})")  # which a rollup that breaks its key fails at
    deleted = run(
        "delete from {target} as published using {standing} as standing where published.ctid = place "
        "and not exists (select from {incoming} as incoming where {same_key})"
    )
    updated = 0
    if contract.values:
        updated = run(
            "update {target} as published set {values} from {standing} as standing join {incoming} as incoming "
            "on {same_key} and not {same} where published.ctid = place"
        )
    added = run(
        "insert into {target} ({columns}) select {columns} from {incoming} as incoming "
        "where not exists (select from {standing} as standing where {same_key})"
    )
    return Written(written=updated + added, deleted=deleted, gained=added - deleted)


def _few(cursor: Cursor, contract: TableContract) -> bool:
    """Whether so few slices changed that finding their rows by the index is cheaper than reading the whole table.

    PostgreSQL cannot know, as no statistics of the columns are kept.
    """
    if contract.day is not None and contract.key[1] != contract.day:
        return False
    row = cursor.execute(
        sql.SQL(
            "select (select count(*) from {}) * 10 < (select reltuples from pg_class where oid = to_regclass(%s))"
        ).format(temporary("changed", contract)),
        [cursor.home.regclass(contract.name)],
    ).fetchone()
    return bool(row and row[0])


def record(
    cursor: Cursor,
    *,
    version: int,
    run_id: str,
    as_of: datetime,
    rows: int,
    tenant: str | None = None,
    restores: int | None = None,
    kept: bool = True,
) -> None:
    """Write the version's row, which makes it visible. ``kept``: what it replaced can be put back."""
    cursor.execute(
        sql.SQL(
            "insert into {} (version, run_id, as_of, published_at, rows, tenant_id, restores, kept, made_by) "
            "values (%s, %s, %s, clock_timestamp(), %s, %s, %s, %s, %s)"
        ).format(cursor.home.table(ddl.PUBLICATIONS)),
        [version, run_id, as_of, rows, tenant, restores, kept, run_id],
    )


def forget_old(cursor: Cursor, contracts: Iterable[TableContract], *, version: int, keep: int) -> None:
    """Drop what versions replaced that are not among the last ``keep``."""
    oldest = version - keep + 1
    publications = cursor.home.table(ddl.PUBLICATIONS)
    gone = cursor.execute(
        sql.SQL("update {} set kept = false where kept and version < %s").format(publications), [oldest]
    ).rowcount
    if gone:
        cursor.execute(sql.SQL("delete from {} where version < %s").format(cursor.home.own(ddl.UNDO_SLICES)), [oldest])
        for contract in contracts:
            cursor.execute(sql.SQL("delete from {} where version < %s").format(ddl.undo(cursor, contract)), [oldest])


def forget_tenants(cursor: Cursor, tenants: Collection[str]) -> int:
    """Drop what earlier versions held of these tenants, so that no rollback brings it back; how many rows."""
    wanted = list(tenants)
    at = sql.SQL("delete from {} where tenant_id = any(%s::uuid[])")
    slices_gone = cursor.execute(at.format(cursor.home.own(ddl.UNDO_SLICES)), [wanted]).rowcount if wanted else 0
    if not slices_gone:
        return 0
    tables = undo_tables(cursor)
    return slices_gone + sum(cursor.execute(at.format(cursor.home.own(each)), [wanted]).rowcount for each in tables)


def undo_tables(cursor: Cursor) -> list[str]:
    """The tables with rows that versions replaced, of rollups that are published still and of those that were."""
    rows = cursor.execute(
        "select relname::text from pg_class where relnamespace = to_regnamespace(quote_ident(%s)) and relkind = 'r' "
        "and relname like 'undo\\_%%' and relname <> %s order by relname",
        [cursor.home.private, ddl.UNDO_SLICES],
    ).fetchall()
    return [row[0] for row in rows]


def temporary(what: str, contract: TableContract) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"{what}_{contract.name}")


def _temporary(
    cursor: Cursor,
    what: str,
    contract: TableContract,
    columns: tuple[Column, ...],
    rows: Iterable[pa.RecordBatch],
) -> None:
    """A temporary table that the commit, or the death of this session, removes."""
    name = temporary(what, contract)
    cursor.execute(sql.SQL("drop table if exists {}").format(name))
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), ddl.type_of(column)) for column in columns
    )
    cursor.execute(sql.SQL("create temporary table {} ({}) on commit drop").format(name, definitions))
    rowcopy.copy_in(cursor, name, columns, rows)


def same_slice(contract: TableContract, rows: str, changed: str, *, days: bool = False) -> sql.Composable:
    """The condition that a row under the alias ``rows`` is of a slice under the alias ``changed``.

    With ``days`` there is a part under that alias, and a list of its slices' days.
    """
    same = sql.SQL("{} = {}").format(sql.Identifier(rows, TENANT), sql.Identifier(changed, TENANT))
    if contract.day is None:
        return same
    day, of = sql.Identifier(rows, contract.day), sql.Identifier(changed, "days" if days else "day")
    return sql.SQL("{} and {} = any ({})" if days else "{} and {} = {}").format(same, day, of)
