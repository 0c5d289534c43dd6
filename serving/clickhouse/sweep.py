"""Take away what no version needs any more: replaced slices, what an attempt left that died, tables of old shapes.

Rows go before the slices that name them, so that a sweep that dies is gone on with. What an attempt wrote is named in
``slices`` before it is written, so that nothing is overlooked.
"""

# ruff: noqa: S608 - names are the contracts' and the configuration's, each quoted; values are bound

from __future__ import annotations

from serving.clickhouse.contract import DAY, GENERATION
from serving.clickhouse.store import Store
from serving.clickhouse.tables import PUBLICATIONS, SLICES, drops, qualified, text
from serving.clickhouse.versions import kept
from serving.contract import TENANT
from warehouse import quote
from warehouse.failpoints import failpoint

_AT_ONCE = {"mutations_sync": 2, "allow_nondeterministic_mutations": 1}
_SLICE = "relation, tenant_id, day"


def sweep(store: Store, database: str, *, tenant: str | None = None) -> int:
    """Sweep one database; how many rows went, of the tenant only where one is given.

    The version that stands, and the one before it if that may be read still, keep theirs.
    """
    needed = {each.version: sorted(each.relations.values()) for each in kept(store, database)}
    dead = _dead(database, needed)
    found = store.rows(
        f"select relation, sum(rows), sumIf(rows, toString(tenant_id) = {{tenant:String}}) from ({dead}) "
        "group by relation order by relation",
        {"tenant": tenant or ""},
    )
    there = store.rows(
        "select name, engine like '%MergeTree' from system.tables where database = {database:String} order by name",
        {"database": database},
    )
    shapes = {relation for relations in needed.values() for relation in relations}
    for relation, *_ in found:
        if relation not in shapes:
            for statement in drops(database, relation, [name for name, _ in there]):
                store.run(statement)
        for name, holds_rows in there:
            if relation in shapes and holds_rows and (name == relation or name.startswith(f"{relation}_")):
                store.run(
                    f"alter table {qualified(database, name)} delete where ({quote(TENANT)}, {quote(DAY)}, "
                    f"{quote(GENERATION)}) in (select tenant_id, day, generation from ({dead}) "
                    f"where relation = {text(relation)})",
                    _AT_ONCE,
                )
        failpoint("clickhouse_mid_sweep")
    if found:
        store.run(
            f"alter table {qualified(database, SLICES)} delete where ({_SLICE}, generation) in "
            f"(select {_SLICE}, generation from ({dead}))",
            _AT_ONCE,
        )
    _end_of_nothing(store, database, readable_from=min(needed, default=0))
    return sum(int(of_tenant if tenant else rows) for _, rows, of_tenant in found)


def _end_of_nothing(store: Store, database: str, *, readable_from: int) -> None:
    """A slice that is gone is named for as long as there is a version that had it."""
    gone = (
        f"rows = 0 and version <= {readable_from:d} and ({_SLICE}) in "
        f"(select {_SLICE} from {qualified(database, SLICES)} group by {_SLICE} having count() = 1)"
    )
    if store.rows(f"select 1 from {qualified(database, SLICES)} where {gone} limit 1"):
        store.run(f"alter table {qualified(database, SLICES)} delete where {gone}", _AT_ONCE)


def _dead(database: str, needed: dict[int, list[str]]) -> str:
    """A query of the slices that no version in ``needed``, which names its relations, has."""
    slices = qualified(database, SLICES)
    alive = " union all ".join(
        f"select {_SLICE}, argMax(generation, version) from {slices} "
        f"where relation in ({', '.join(map(text, relations)) or 'null'}) and generation in "
        f"(select generation from {qualified(database, PUBLICATIONS)} where version <= {version:d}) group by {_SLICE}"
        for version, relations in needed.items()
    )
    where = f" where ({_SLICE}, generation) not in ({alive})" if alive else ""
    return f"select {_SLICE}, generation, rows from {slices}{where}"
