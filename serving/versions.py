"""One version after another in a database: slices replaced, what they replaced kept, and the version recorded.

All of it happens in the caller's transaction. The hashes of what stands are written with it, so they cannot lie about
it; what a version replaced stays beside it, bounded, until it is too old to be put back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from psycopg import sql

from serving import ddl, rowcopy, slices
from serving.contract import TENANT, Column, TableContract

Cursor = ddl.Cursor

KEPT = 5
"""Versions whose replaced rows are kept, and so how far back a rollback can go."""
_ARRAYS = (*slices.PART_HASH, Column(name="days", type="text"), Column(name="hashes", type="text"))


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
            ddl.table(ddl.PUBLICATIONS)
        )
    ).fetchone()
    return Latest(version=row[0], rows=row[1], restores=row[2]) if row else None


def move_on(cursor: Cursor, *, run_id: str, as_of: datetime) -> None:
    """What everybody sees is known to hold until ``as_of``; nothing is written when it already was."""
    cursor.execute(
        sql.SQL(
            "update {publications} set run_id = %s, as_of = %s where as_of < %s and version = "
            "(select max(version) from {publications} where tenant_id is null)"
        ).format(publications=ddl.table(ddl.PUBLICATIONS)),
        [run_id, as_of, as_of],
    )


def known(cursor: Cursor, contract: TableContract) -> bool:
    """Whether the hashes speak of this table: they do not where rows were published before there were any."""
    row = cursor.execute(
        sql.SQL("select exists (select from {} where rollup = {}) or not exists (select from {})").format(
            ddl.private(ddl.SLICES), contract.name, ddl.table(contract.name)
        )
    ).fetchone()
    return bool(row and row[0])


def stored_parts(cursor: Cursor, contract: TableContract, *, without: Iterable[str] = ()) -> pa.Table:
    """The hash of every part that is published, as ``slices.PART_HASH``, but for those of tenants ``without``."""
    query = sql.SQL("select tenant_id, part, hash from {} where rollup = {} and tenant_id <> all ({}::uuid[])").format(
        ddl.private(ddl.SLICES), contract.name, list(without)
    )
    return rowcopy.copy_out(cursor, query, slices.PART_HASH)


def stored_slices(cursor: Cursor, contract: TableContract, touched: pa.Table) -> pa.Table:
    """The hashes of the slices published in the parts touched, as ``slices.SLICE``."""
    _temporary(cursor, "touched", contract, slices.PART, touched.to_batches())
    query = sql.SQL(
        "select tenant_id, part, slice.day, slice.hash from {slices} join {touched} using (tenant_id, part) "
        "cross join unnest(days, hashes) as slice (day, hash) where rollup = {rollup}"
    ).format(slices=ddl.private(ddl.SLICES), touched=temporary("touched", contract), rollup=contract.name)
    return rowcopy.copy_out(cursor, query, slices.SLICE)


def drop_slices(cursor: Cursor, contract: TableContract, touched: pa.Table) -> None:
    """Forget the hashes of these parts."""
    _temporary(cursor, "wrong", contract, slices.PART, touched.to_batches())
    cursor.execute(
        sql.SQL(
            "delete from {slices} using {wrong} as wrong where rollup = {rollup} "
            "and slices.tenant_id = wrong.tenant_id and slices.part = wrong.part"
        ).format(slices=ddl.private(ddl.SLICES), wrong=temporary("wrong", contract), rollup=contract.name)
    )


def load_changes(
    cursor: Cursor, contract: TableContract, changed: Iterable[pa.RecordBatch], rows: Iterable[pa.RecordBatch]
) -> None:
    """Bring the slices that changed, and their rows, into temporary tables for ``apply``."""
    _temporary(cursor, "changed", contract, slices.SLICE, changed)
    _temporary(cursor, "incoming", contract, contract.columns, rows)


def store_slices(cursor: Cursor, contract: TableContract, arrays: Iterable[pa.RecordBatch]) -> None:
    """The hashes of a rollup that was published as a whole."""
    _temporary(cursor, "arrays", contract, _ARRAYS, arrays)
    cursor.execute(
        sql.SQL(
            "insert into {slices} (rollup, tenant_id, part, hash, days, hashes) "
            "select {rollup}, tenant_id, part, hash, days::date[], hashes::bigint[] from {arrays}"
        ).format(slices=ddl.private(ddl.SLICES), rollup=contract.name, arrays=temporary("arrays", contract))
    )


def note_created(cursor: Cursor, contract: TableContract, version: int) -> None:
    """Before ``version`` there was nothing of this rollup: that is what putting the version before back means."""
    cursor.execute(
        sql.SQL(
            "insert into {undo} (version, rollup, tenant_id, part, days, hashes) select {version}, rollup, tenant_id, "
            "part, days, array_fill(null::bigint, array[cardinality(days)]) from {slices} where rollup = {rollup}"
        ).format(
            undo=ddl.private(ddl.UNDO_SLICES),
            slices=ddl.private(ddl.SLICES),
            version=version,
            rollup=contract.name,
        )
    )


def apply(cursor: Cursor, contract: TableContract, version: int, *, keep: bool = True) -> Written:
    """Replace the slices in ``changed`` by the rows in ``incoming``; a row that stays the same is not touched.

    With ``keep``, what stood before is kept for putting it back.
    """
    names = {
        "target": ddl.table(contract.name),
        "undo": ddl.undo(contract),
        "undo_slices": ddl.private(ddl.UNDO_SLICES),
        "slices": ddl.private(ddl.SLICES),
        "changed": temporary("changed", contract),
        "incoming": temporary("incoming", contract),
        "columns": ddl.names(contract.column_names),
        "of_published": ddl.names(contract.column_names, of="published"),
        "key": ddl.names(contract.key),
        "same_slice": same_slice(contract, "published", "changed"),
        "same_key": sql.SQL("({}) = ({})").format(
            ddl.names(contract.key, of="published"), ddl.names(contract.key, of="incoming")
        ),
        "same": sql.SQL("row({}) is not distinct from row({})").format(
            ddl.names(contract.column_names, of="published"), ddl.names(contract.column_names, of="incoming")
        ),
        "version": sql.Literal(version),
        "rollup": sql.Literal(contract.name),
        "update": _update(contract),
    }

    def run(query: str) -> int:
        return cursor.execute(sql.SQL(query).format(**names)).rowcount

    if keep:
        run(
            "insert into {undo} (version, {columns}) select {version}, {of_published} from {changed} as changed "
            "join {target} as published on {same_slice}"
        )
        run(
            "insert into {undo_slices} (version, rollup, tenant_id, part, days, hashes) "
            "select {version}, {rollup}, tenant_id, part, array_agg(day order by day), "
            "array_agg(old.hash order by day) from {changed} as changed left join ("
            "select tenant_id, part, slice.day, slice.hash from {slices} "
            "cross join unnest(days, hashes) as slice (day, hash) where rollup = {rollup} "
            "and (tenant_id, part) in (select tenant_id, part from {changed})"
            ") as old using (tenant_id, part, day) group by tenant_id, part"
        )
    deleted = run(
        "delete from {target} as published using {changed} as changed where {same_slice} "
        "and not exists (select from {incoming} as incoming where {same_key})"
    )
    counted = cursor.execute(
        sql.SQL(
            "with written as (insert into {target} ({columns}) select {columns} from {incoming} as incoming "
            "where not exists (select from {target} as published where {same_key} and {same}) "
            "on conflict ({key}) do {update} returning (xmax = 0) as added) "
            "select count(*), count(*) filter (where added) from written"
        ).format(**names)
    ).fetchone()
    written, added = counted or (0, 0)
    run(
        "insert into {slices} (rollup, tenant_id, part, hash, days, hashes) "
        "select {rollup}, tenant_id, part, (mod(sum(hash::numeric + 9223372036854775808), 18446744073709551616) "
        "- 9223372036854775808)::bigint, array_agg(day order by day), array_agg(hash order by day) from ("
        "select tenant_id, part, slice.day, slice.hash from {slices} "
        "cross join unnest(days, hashes) as slice (day, hash) where rollup = {rollup} "
        "and (tenant_id, part) in (select tenant_id, part from {changed}) "
        "and not exists (select from {changed} as changed "
        "where changed.tenant_id = slices.tenant_id and changed.day = slice.day) "
        "union all select tenant_id, part, day, hash from {changed} where hash is not null"
        ") as every group by tenant_id, part on conflict (rollup, tenant_id, part) "
        "do update set hash = excluded.hash, days = excluded.days, hashes = excluded.hashes"
    )
    run(
        "delete from {slices} using (select distinct tenant_id, part from {changed} where hash is null) as emptied "
        "where rollup = {rollup} and slices.tenant_id = emptied.tenant_id and slices.part = emptied.part "
        "and not exists (select from unnest(days) as stands (day) where not exists (select from {changed} as changed "
        "where changed.tenant_id = slices.tenant_id and changed.day = stands.day and changed.hash is null))"
    )
    return Written(written=written, deleted=deleted, gained=added - deleted)


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
        ).format(ddl.table(ddl.PUBLICATIONS)),
        [version, run_id, as_of, rows, tenant, restores, kept, run_id],
    )


def forget_old(cursor: Cursor, contracts: Iterable[TableContract], *, version: int, keep: int) -> None:
    """Drop what versions replaced that are not among the last ``keep``."""
    oldest = version - keep + 1
    publications = ddl.table(ddl.PUBLICATIONS)
    gone = cursor.execute(
        sql.SQL("update {} set kept = false where kept and version < %s").format(publications), [oldest]
    ).rowcount
    if gone:
        cursor.execute(sql.SQL("delete from {} where version < %s").format(ddl.private(ddl.UNDO_SLICES)), [oldest])
        for contract in contracts:
            cursor.execute(sql.SQL("delete from {} where version < %s").format(ddl.undo(contract)), [oldest])


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
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), ddl.type_of(column)) for column in columns
    )
    cursor.execute(sql.SQL("create temporary table {} ({}) on commit drop").format(name, definitions))
    rowcopy.copy_in(cursor, name, columns, rows)
    cursor.execute(sql.SQL("analyze {}").format(name))


def same_slice(contract: TableContract, rows: str, changed: str) -> sql.Composable:
    """The condition that a row under the alias ``rows`` is of a slice under the alias ``changed``."""
    same = sql.SQL("{} = {}").format(sql.Identifier(rows, TENANT), sql.Identifier(changed, TENANT))
    if contract.day is None:
        return same
    return sql.SQL("{} and {} = {}").format(same, sql.Identifier(rows, contract.day), sql.Identifier(changed, "day"))


def _update(contract: TableContract) -> sql.Composable:
    if not contract.values:
        return sql.SQL("nothing")
    return sql.SQL("update set {}").format(
        sql.SQL(", ").join(
            sql.SQL("{} = excluded.{}").format(sql.Identifier(each), sql.Identifier(each)) for each in contract.values
        )
    )
