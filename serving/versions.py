"""One version after another in a database: slices replaced, what they replaced kept, and the version recorded.

All of it happens in the caller's transaction. The hashes of what stands are written with it, so they cannot lie about
it; what a version replaced stays beside it, bounded, until it is too old to be put back. What comes in has been put
into COPY's lines by ``rowcopy.ahead``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from psycopg import sql

from serving import ddl, rowcopy, slices
from serving.contract import TENANT, Column, TableContract
from settings import TailraceError

Cursor = ddl.Cursor

_WHOLE = (
    "{changed} as changed join lateral (select ctid as place, {columns} from {target} as published) as published "
    "on {same_slice}"
)
# Where nothing may be pulled out of the subquery, it is one look into the index for each tenant.
_BY_INDEX = (
    "({tenants}) as changed cross join lateral (select ctid as place, {columns} from {target} as published "
    "where {same_tenant} offset 0) as published"
)
# A slice's part, as ``slices`` has it: the Monday, which the first day there is was.
PART = sql.SQL("(day - (day - date '0001-01-01') % 7)")
BUCKET = sql.SQL("(get_byte(uuid_send(tenant_id), 15) & 15)::smallint")
SUM_OF_SLICES = sql.SQL(
    "(mod(sum(slice.hash::numeric + 9223372036854775808), 18446744073709551616) - 9223372036854775808)::bigint"
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


def stored_parts(cursor: Cursor, contract: TableContract) -> pa.Table:
    """The hash of every part that is published, as ``slices.PART_HASH``."""
    query = sql.SQL(
        "select array_agg(part), array_agg(bucket), array_agg(hash) from {} where rollup = {} having count(*) > 0"
    ).format(cursor.home.own(ddl.SLICES), contract.name)
    return rowcopy.arrays_out(cursor, query, slices.PART_HASH)


def stored_slices(cursor: Cursor, contract: TableContract, parts: Collection[slices.Part]) -> pa.Table:
    """The hashes of the slices published in these parts, as ``slices.SLICE``."""
    query = sql.SQL("select tenants, days, hashes from {} where {}").format(
        cursor.home.own(ddl.SLICES), _among(contract, parts)
    )
    return rowcopy.arrays_out(cursor, query, slices.SLICE)


def replace_parts(
    cursor: Cursor, contract: TableContract, parts: Collection[slices.Part], hashes: Iterable[bytes]
) -> None:
    """Put these hashes, lines of ``slices.PART_ARRAYS``, in the place of those of these parts."""
    cursor.execute(sql.SQL("delete from {} where {}").format(cursor.home.own(ddl.SLICES), _among(contract, parts)))
    store_parts(cursor, contract, hashes)


def _among(contract: TableContract, parts: Collection[slices.Part]) -> sql.Composable:
    return sql.SQL("rollup = {} and (part, bucket) in (select * from unnest({}::date[], {}::smallint[]))").format(
        contract.name, [part for part, _ in parts], [bucket for _, bucket in parts]
    )


def store_parts(cursor: Cursor, contract: TableContract, hashes: Iterable[bytes]) -> None:
    """The hashes of parts of which there were none, lines of ``slices.PART_ARRAYS``."""
    rowcopy.copy_in(cursor, temporary("parts", contract), slices.PART_ARRAYS, hashes)
    cursor.execute(
        sql.SQL(
            "insert into {slices} (rollup, part, bucket, hash, tenants, days, hashes) "
            "select {rollup}, part, bucket, hash, tenants, days, hashes from {parts}"
        ).format(slices=cursor.home.own(ddl.SLICES), rollup=contract.name, parts=temporary("parts", contract))
    )


def make_room(cursor: Cursor, contract: TableContract) -> None:
    """Make the temporary tables that ``load_changed``, ``load_incoming`` and ``store_parts`` fill."""
    _make_temporary(cursor, "changed", contract, slices.CHANGED)
    _make_temporary(cursor, "incoming", contract, contract.columns)
    _make_temporary(cursor, "parts", contract, slices.PART_ARRAYS)


def load_changed(cursor: Cursor, contract: TableContract, changed: Iterable[bytes]) -> None:
    """Bring the slices that changed, lines of ``slices.CHANGED``, for ``set_aside``."""
    rowcopy.copy_in(cursor, temporary("changed", contract), slices.CHANGED, changed)


def load_incoming(cursor: Cursor, contract: TableContract, rows: Iterable[bytes]) -> int:
    """Bring the rows of the slices that changed, for ``apply``; how many."""
    return rowcopy.copy_in(cursor, temporary("incoming", contract), contract.columns, rows)


def note_created(cursor: Cursor, contract: TableContract, version: int) -> None:
    """Before ``version`` there was nothing of this rollup: that is what putting the version before back means."""
    cursor.execute(
        sql.SQL(
            "insert into {undo} (version, rollup, part, bucket, tenants, days, hashes) "
            "select {version}, rollup, part, bucket, tenants, days, array_fill(null::bigint, array[cardinality(days)]) "
            "from {slices} where rollup = {rollup}"
        ).format(
            undo=cursor.home.own(ddl.UNDO_SLICES),
            slices=cursor.home.own(ddl.SLICES),
            version=version,
            rollup=contract.name,
        )
    )


def set_aside(cursor: Cursor, contract: TableContract, version: int, *, keep: bool = True) -> int:
    """Find the rows that stand in the slices in ``changed``, for ``apply``; how many.

    ``keep`` them for putting them back.
    """
    changed = temporary("changed", contract)
    names = {
        "target": cursor.home.table(contract.name),
        "undo": ddl.undo(cursor, contract),
        "undo_slices": cursor.home.own(ddl.UNDO_SLICES),
        "changed": changed,
        "tenants": sql.SQL(
            "select tenant_id, min(day) as first, max(day) as last, array_agg(day) as days from {} group by tenant_id"
        ).format(changed),
        "parts": sql.SQL(
            "select {part} as part, {bucket} as bucket, array_agg(tenant_id) as tenants, array_agg(day) as days, "
            "array_agg(was) as hashes from {changed} group by 1, 2"
        ).format(part=PART, bucket=BUCKET, changed=changed),
        "standing": temporary("standing", contract),
        "columns": ddl.names(contract.column_names),
        "same_slice": same_slice(contract, "published", "changed"),
        "same_tenant": same_slice(contract, "published", "changed", days=True),
        "version": sql.Literal(version),
        "rollup": sql.Literal(contract.name),
    }
    found = sql.SQL(_BY_INDEX if _few(cursor, contract) else _WHOLE).format(**names)

    def run(query: str) -> int:
        return cursor.execute(sql.SQL(query).format(found=found, **names)).rowcount

    standing = run("create temporary table {standing} on commit drop as select published.* from {found}")
    if keep:
        run("insert into {undo} (version, {columns}) select {version}, {columns} from {standing}")
        run(
            "insert into {undo_slices} (version, rollup, part, bucket, tenants, days, hashes) "
            "select {version}, {rollup}, part, bucket, tenants, days, hashes from ({parts}) as changed"
        )
    return standing


def apply(cursor: Cursor, contract: TableContract, *, standing: int, incoming: int) -> Written:
    """Replace the ``standing`` rows that were set aside by the ``incoming`` ones; one that stays is not touched.

    The hashes are the caller's to replace. Raises TailraceError where rows come in that have the same key.
    """
    names = {
        "target": cursor.home.table(contract.name),
        "incoming": temporary("incoming", contract),
        "standing": temporary("standing", contract),
        "columns": ddl.names(contract.column_names),
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

    updated = deleted = added = 0
    if contract.values:
        updated = run(
            "update {target} as published set {values} from {standing} as standing join {incoming} as incoming "
            "on {same_key} and not {same} where published.ctid = place"
        )
    # Where every row was updated, which is common, none is gone and none is new.
    if updated < standing:
        deleted = run(
            "delete from {target} as published using {standing} as standing where published.ctid = place "
            "and not exists (select from {incoming} as incoming where {same_key})"
        )
    if updated < incoming:
        added = run(
            "insert into {target} ({columns}) select {columns} from {incoming} as incoming "
            "where not exists (select from {standing} as standing where {same_key})"
        )
    gained = added - deleted
    if surplus := incoming - standing - gained:
        raise TailraceError(
            f"{contract.name} breaks its contract: {surplus} rows have a key that another has; nothing was published, "
            "mend the dbt model"
        )
    return Written(written=updated + added, deleted=deleted, gained=gained)


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
    if not tenants:
        return 0
    wanted, undo_slices = list(tenants), cursor.home.own(ddl.UNDO_SLICES)
    slices_gone = cursor.execute(
        sql.SQL(
            "update {} set (tenants, days, hashes) = (select coalesce(array_agg(tenant), '{{}}'), "
            "coalesce(array_agg(day), '{{}}'), coalesce(array_agg(hash), '{{}}') "
            "from unnest(tenants, days, hashes) as slice (tenant, day, hash) where tenant <> all (%(wanted)s::uuid[])) "
            "where tenants && %(wanted)s::uuid[]"
        ).format(undo_slices),
        {"wanted": wanted},
    ).rowcount
    if not slices_gone:
        return 0
    cursor.execute(sql.SQL("delete from {} where tenants = '{{}}'").format(undo_slices))
    gone = sql.SQL("delete from {} where tenant_id = any(%s::uuid[])")
    return slices_gone + sum(
        cursor.execute(gone.format(cursor.home.own(each)), [wanted]).rowcount for each in undo_tables(cursor)
    )


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


def _make_temporary(cursor: Cursor, what: str, contract: TableContract, columns: tuple[Column, ...]) -> None:
    """An empty temporary table that the commit, or the death of this session, removes."""
    name = temporary(what, contract)
    cursor.execute(sql.SQL("drop table if exists {}").format(name))
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), ddl.type_of(column)) for column in columns
    )
    cursor.execute(sql.SQL("create temporary table {} ({}) on commit drop").format(name, definitions))


def same_slice(contract: TableContract, rows: str, changed: str, *, days: bool = False) -> sql.Composable:
    """The condition that a row under the alias ``rows`` is of a slice under the alias ``changed``.

    With ``days`` there is a tenant under that alias, a list of its slices' days, and the ``first`` and ``last`` of
    these, between which the index is read once.
    """
    same = sql.SQL("{} = {}").format(sql.Identifier(rows, TENANT), sql.Identifier(changed, TENANT))
    if contract.day is None:
        return same
    day = sql.SQL("{day} between {of}.first and {of}.last and {day} = any ({of}.days)" if days else "{day} = {of}.day")
    return sql.SQL("{} and {}").format(
        same, day.format(day=sql.Identifier(rows, contract.day), of=sql.Identifier(changed))
    )
