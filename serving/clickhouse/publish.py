"""Publish details into ClickHouse, whole or not at all.

ClickHouse has no transaction over several tables, so a publish writes what readers do not look at yet: first which
slices it is about to write, then their rows, under a generation of its own. It counts what has arrived, and commits by
one insert of one row. Whatever an attempt left that died is seen to belong to no publication, and goes with the next.
"""

# ruff: noqa: S608 - names are the contracts' and the configuration's, each quoted; values are bound

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from serving.clickhouse import homes, tables
from serving.clickhouse.contract import DAY, GENERATION, Detail, aggregate_table, load_details
from serving.clickhouse.differences import Differences
from serving.clickhouse.store import Store, connect
from serving.clickhouse.sweep import sweep
from serving.clickhouse.versions import Publication, latest, record
from serving.contract import TENANT
from serving.tenants import UNATTRIBUTED, read_tenants
from settings import ClickHouse, Settings, TailraceError
from warehouse import quote
from warehouse.failpoints import failpoint

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One database: ``version`` stands now, a new one only when ``changed``.

    ``rows`` of each model stand now; ``written`` were sent, for ``slices`` that differed.
    """

    database: str
    version: int
    changed: bool
    rows: dict[str, int]
    written: int = 0
    slices: int = 0
    swept: int = 0
    """rows that no version needs any more, taken away"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """``unattributed`` counts, for each model, rows that belong to no tenant and were held back."""

    run_id: str
    as_of: datetime
    seconds: float
    databases: tuple[Published, ...]
    unattributed: dict[str, int] = field(default_factory=dict)

    @property
    def written(self) -> int:
        return sum(each.written for each in self.databases)


def publish(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    *,
    manifest_path: Path,
    run_id: str,
    as_of: datetime,
    progress: Progress | None = None,
) -> Report | None:
    """Bring ClickHouse to the warehouse's details; None where ``serving.clickhouse`` is not set.

    ``as_of`` (with a zone): the data is complete until then. Raises TailraceError, and the version that stood does
    still, when a row belongs to a tenant of another region or to none the warehouse knows, a contract does not fit, or
    ClickHouse does not hold what was sent.
    """
    section = settings.serving.clickhouse
    if section is None:
        return None
    if as_of.tzinfo is None:
        raise TailraceError("publish: as_of has no time zone; give it in UTC")
    started = time.monotonic()
    details = load_details(manifest_path)
    tenants = read_tenants(warehouse)
    home = homes.homes(settings, section, tenants.values())
    found = [Differences(warehouse, detail) for detail in details]
    unattributed = {each.detail.name: _unattributed(each, tenants) for each in found}
    published = []
    with connect(section) as store:
        for database in _databases(store, section, home.values()):
            residents = [tenant for tenant, where in home.items() if where == database]
            published.append(_publish(store, database, found, residents, run_id=run_id, as_of=as_of))
            if progress is not None:
                progress(_describe(published[-1]))
    return Report(
        run_id=run_id,
        as_of=as_of,
        seconds=time.monotonic() - started,
        databases=tuple(published),
        unattributed=unattributed,
    )


def forget(settings: Settings, *, tenant: str) -> dict[str, int]:
    """Drop every row that only earlier versions have, anybody's; how many of the tenant's, by database.

    Nothing, where ClickHouse is not configured.
    """
    section = settings.serving.clickhouse
    if section is None:
        return {}
    dropped = {}
    with connect(section) as store:
        for database in homes.databases(store, section):
            standing = latest(store, database)
            if standing is not None and standing.readable_from < standing.version:
                # First nobody may read what came before; then it goes.
                version = standing.version + 1
                record(
                    store,
                    database,
                    Publication(
                        version=version,
                        generation=_next_generation(store, database),
                        readable_from=version,
                        run_id=standing.run_id,
                        as_of=standing.as_of,
                        relations=standing.relations,
                    ),
                )
            dropped[database] = sweep(store, database, tenant=tenant)
    return dropped


def _databases(store: Store, section: ClickHouse, wanted: Collection[str]) -> list[str]:
    """The shared one first; of silos those too whose tenant is gone, so that nothing stays in them."""
    return list(dict.fromkeys([section.database, *homes.databases(store, section), *sorted(set(wanted))]))


def _publish(
    store: Store, database: str, found: list[Differences], residents: list[str], *, run_id: str, as_of: datetime
) -> Published:
    for statement in tables.of_every_database(database):
        store.run(statement)
    swept = sweep(store, database)  # which may drop what an attempt at a new shape has left
    for each in found:
        for statement in tables.of_detail(database, each.detail):
            store.run(statement)
    failpoint("clickhouse_after_tables")
    standing = latest(store, database)
    relations = {each.detail.name: each.detail.table for each in found}
    rows = {each.detail.name: sum(each.rows.get(tenant, 0) for tenant in residents) for each in found}
    version = standing.version + 1 if standing else 1
    generation = _next_generation(store, database)
    written = slices = 0
    for each in found:
        entries = each.compare(_stands(store, database, each.detail), residents)
        if entries.num_rows:
            slices += entries.num_rows
            written += _load(store, database, each, entries, version=version, generation=generation)
    failpoint("clickhouse_after_load")
    if standing is not None and not slices and standing.relations == relations:
        if as_of > standing.as_of:
            # A version stands for content: the same, known to hold until later, moves its stamp on.
            record(store, database, standing.as_of_later(run_id=run_id, as_of=as_of))
        _point_views(store, database, found)  # whoever died after committing may have left them behind
        return Published(database=database, version=standing.version, changed=False, rows=rows, swept=swept)
    failpoint("clickhouse_before_commit")
    record(
        store,
        database,
        Publication(
            version=version,
            generation=generation,
            # Who is reading the version before reads it to the end.
            readable_from=standing.version if standing else version,
            run_id=run_id,
            as_of=as_of.astimezone(UTC),
            relations=relations,
        ),
    )
    failpoint("clickhouse_after_commit")
    _point_views(store, database, found)
    swept += sweep(store, database)
    failpoint("clickhouse_after_sweep")
    return Published(
        database=database, version=version, changed=True, rows=rows, written=written, slices=slices, swept=swept
    )


def _point_views(store: Store, database: str, found: list[Differences]) -> None:
    """Have the views under lasting names read the tables of now, if they do not yet."""
    for each in found:
        pointing = store.rows(
            "select name from system.tables where database = {database:String} and engine = 'View' "
            "and position(create_table_query, {table:String}) > 0",
            {"database": database, "table": each.detail.table},
        )
        if not set(each.detail.views) <= {name for (name,) in pointing}:
            for statement in tables.views(database, each.detail):
                store.run(statement)


def _load(store: Store, database: str, found: Differences, entries: pa.Table, *, version: int, generation: int) -> int:
    """Announce slices, write their rows, and hold what arrived to what was announced; how many rows."""
    detail = found.detail
    count = entries.num_rows
    announced = (
        entries.append_column("relation", pa.array([detail.table] * count, pa.string()))
        .append_column("version", pa.array([version] * count, pa.uint64()))
        .append_column("generation", pa.array([generation] * count, pa.uint64()))
    )
    store.insert(tables.qualified(database, tables.SLICES), announced)
    failpoint("clickhouse_after_slices")
    written = 0
    for batch in found.changed_rows():
        stamped = batch.append_column(GENERATION, pa.array([generation] * batch.num_rows, pa.uint64()))
        store.insert(tables.qualified(database, detail.table), stamped)
        written += batch.num_rows
        failpoint("clickhouse_mid_load")
    _hold(store, database, detail, entries, generation)
    return written


def _hold(store: Store, database: str, detail: Detail, entries: pa.Table, generation: int) -> None:
    """Raise TailraceError unless a generation's rows are in the table and its aggregates, each once."""
    expected = {
        (tenant, day): rows
        for tenant, day, rows in zip(
            *(entries.column(name).to_pylist() for name in ("tenant_id", "day", "rows")), strict=True
        )
        if rows
    }
    slice_of = f"toString({quote(TENANT)}), {quote(DAY)}"
    sums = ", ".join(f"sum({quote(each)})" for each in detail.sums)
    base = store.rows(
        f"select {slice_of}, count(){', ' if sums else ''}{sums} from {tables.qualified(database, detail.table)} "
        f"where {quote(GENERATION)} = {{generation:UInt64}} group by all order by all",
        {"generation": generation},
    )
    if {(tenant, day): rows for tenant, day, rows, *_ in base} != expected:
        raise TailraceError(
            f"ClickHouse {database}: {detail.name} holds other rows than were sent; the version before stands, "
            "run again, and look into ClickHouse's log if that does not help"
        )
    sums = ", ".join(f"sum({quote(tables.sum_of(each))})" for each in detail.sums)
    for aggregate in detail.aggregates:
        name = aggregate_table(detail.table, aggregate.name)
        added_up = store.rows(
            f"select {slice_of}, sum({quote(tables.ROWS)}){', ' if sums else ''}{sums} "
            f"from {tables.qualified(database, name)} "
            f"where {quote(GENERATION)} = {{generation:UInt64}} group by all order by all",
            {"generation": generation},
        )
        if added_up != base:
            raise TailraceError(
                f"ClickHouse {database}: {name} does not add up to {detail.name}; the version before stands, drop "
                "that table and what fills it, then run again"
            )


def _stands(store: Store, database: str, detail: Detail) -> pa.Table:
    """What the latest version has of a model's table: tenant_id, day, hash."""
    return store.arrow(
        "select toString(tenant_id) as tenant_id, day, argMax(hash, version) as hash "
        f"from {tables.qualified(database, tables.SLICES)} where relation = {{relation:String}} and generation in "
        f"(select generation from {tables.qualified(database, tables.PUBLICATIONS)}) "
        "group by tenant_id, day having argMax(rows, version) > 0",
        {"relation": detail.table},
    )


def _next_generation(store: Store, database: str) -> int:
    """A number that no attempt here had, greater than theirs: the time, in microseconds, or one more than the last."""
    last = store.rows(
        f"select greatest((select max(generation) from {tables.qualified(database, tables.SLICES)}), "
        f"(select max(generation) from {tables.qualified(database, tables.PUBLICATIONS)}))"
    )
    return max(time.time_ns() // 1000, int(last[0][0]) + 1)


def _unattributed(found: Differences, tenants: Collection[str]) -> int:
    unknown = [tenant for tenant in found.rows if tenant not in tenants and tenant != UNATTRIBUTED]
    if unknown:
        raise TailraceError(
            f"{found.detail.name}: {len(unknown)} tenant(s) with {sum(found.rows[each] for each in unknown)} rows "
            f"are not in marts.dim_tenants; their rows belong to the tenant '{UNATTRIBUTED}'"
        )
    return found.rows.get(UNATTRIBUTED, 0)


def _describe(published: Published) -> str:
    what = f"{published.written:,} rows written" if published.changed else "unchanged"
    return f"ClickHouse {published.database}: version {published.version}, {what}"
