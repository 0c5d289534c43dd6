"""The statements that make ClickHouse's tables.

Rows are never changed: those of a slice that differs are written anew under the number of the attempt, its generation.
``slices`` says which generation of a slice a version has, and ``publications``, of which a row is one insert, which
versions there are. So whoever reads of one version reads of that alone, and aggregates, which materialized views add up
by generation, count nothing twice.
"""

# ruff: noqa: S608 - names are the contracts' and the configuration's, each quoted

from __future__ import annotations

from serving.clickhouse.contract import DAY, GENERATION, LEVELS, Aggregate, Detail, aggregate_table
from serving.contract import TENANT
from warehouse import quote

SLICES, PUBLICATIONS = "slices", "publications"
ROWS = "rows"
"""The column of every aggregate that counts what it is made of."""

# What an insert wrote is on the disk before it is answered, as what follows relies on it; merges likewise, so that the
# files they replace may go soon, and with them what was erased.
_DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, "
    "min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 10"
)


def qualified(database: str, table: str) -> str:
    """A table's name in SQL."""
    return f"{quote(database)}.{quote(table)}"


def of_every_database(database: str) -> list[str]:
    """The database, and its tables that belong to no model."""
    return [
        f"create database if not exists {quote(database)}",
        f"create table if not exists {qualified(database, SLICES)} ("
        "relation LowCardinality(String), tenant_id UUID, day Date32, version UInt64, generation UInt64, rows UInt64, "
        f"hash Int64) engine = MergeTree order by (relation, tenant_id, day, version) settings {_DURABLE}",
        f"create table if not exists {qualified(database, PUBLICATIONS)} ("
        "version UInt64, generation UInt64, readable_from UInt64, run_id String, as_of DateTime64(6, 'UTC'), "
        "published_at DateTime64(6, 'UTC') default now64(6), relations Map(String, String)) "
        f"engine = MergeTree order by version settings {_DURABLE}",
    ]


def of_detail(database: str, detail: Detail) -> list[str]:
    """A model's table, its aggregates, and what fills them."""
    columns = [
        f"{quote(column.name)} {detail.type(column.name)} comment {text(column.description)}"
        for column in detail.contract.columns
    ]
    # Attempts are numbered upwards, so that an index of least and greatest finds those of the last one.
    columns += [f"{quote(GENERATION)} UInt64", f"index generations {quote(GENERATION)} type minmax granularity 1"]
    made = [
        f"create table if not exists {qualified(database, detail.table)} ({', '.join(columns)}) engine = MergeTree "
        f"partition by toYYYYMM({quote(DAY)}) order by ({_list(detail.contract.key)}) "
        f"settings {_DURABLE} comment {text(detail.contract.description)}"
    ]
    for aggregate in detail.aggregates:
        made += [_aggregate_table(database, detail, aggregate), _filling(database, detail, aggregate)]
    return made


def sum_of(column: str) -> str:
    """An aggregate's column that holds a sum; what is derived from a column goes by another name than it."""
    return f"{column}_sum"


def unique_of(column: str) -> str:
    """An aggregate's column that holds the state of a count of distinct values."""
    return f"{column}_uniq"


def quantiles_of(column: str) -> str:
    """An aggregate's column that holds the state of quantiles, of ``LEVELS``."""
    return f"{column}_quantiles"


def known_of(column: str) -> str:
    """An aggregate's column that counts how many values there are to ``quantiles_of``: of none they are zero."""
    return f"{column}_known"


def quantiles_function(suffix: str) -> str:
    """The aggregate function of ``LEVELS``, for its State, Merge, or neither."""
    return f"quantilesExactWeighted{suffix}({', '.join(map(str, LEVELS))})"


def sorted_by(detail: Detail, aggregate: Aggregate) -> tuple[str, ...]:
    """What an aggregate has a row for, the generation aside."""
    hour = ("hour",) if aggregate.every == "hour" else ()
    return (TENANT, DAY, *hour, *aggregate.by)


def _aggregate_table(database: str, detail: Detail, aggregate: Aggregate) -> str:
    key = sorted_by(detail, aggregate)
    columns = [f"{quote(each)} {_type_in_key(detail, each)}" for each in key]
    columns.append(f"{quote(ROWS)} SimpleAggregateFunction(sum, UInt64)")
    columns += [
        f"{quote(sum_of(each))} SimpleAggregateFunction(sum, {detail.type_of_sum(each)})" for each in detail.sums
    ]
    columns += [
        f"{quote(unique_of(each))} AggregateFunction(uniqExact, {detail.type(each)})" for each in _uniques(detail, key)
    ]
    columns += [
        f"{quote(quantiles_of(each))} AggregateFunction({quantiles_function('')}, {detail.type(each)}, UInt64)"
        for each in detail.quantiles
    ]
    columns += [f"{quote(known_of(each))} SimpleAggregateFunction(sum, UInt64)" for each in detail.quantiles]
    columns += [f"{quote(GENERATION)} UInt64", f"index generations {quote(GENERATION)} type minmax granularity 1"]
    return (
        f"create table if not exists {qualified(database, aggregate_table(detail.table, aggregate.name))} "
        f"({', '.join(columns)}) engine = AggregatingMergeTree partition by toYYYYMM({quote(DAY)}) "
        f"order by ({_list((*key, GENERATION))}) settings allow_nullable_key = 1, {_DURABLE}"
    )


def _filling(database: str, detail: Detail, aggregate: Aggregate) -> str:
    key = sorted_by(detail, aggregate)
    hour = f"toDateTime(toStartOfHour({quote(detail.time)}), 'UTC')"
    selected = [f"{hour} as {quote(each)}" if each == "hour" else quote(each) for each in key]
    selected.append(f"count() as {quote(ROWS)}")
    selected += [f"sum({_widened(detail, each)}) as {quote(sum_of(each))}" for each in detail.sums]
    selected += [f"uniqExactState({quote(each)}) as {quote(unique_of(each))}" for each in _uniques(detail, key)]
    selected += [
        f"{quantiles_function('State')}({quote(each)}, toUInt64({quote(often)})) as {quote(quantiles_of(each))}"
        for each, often in detail.quantiles.items()
    ]
    selected += [
        f"sumIf(toUInt64({quote(often)}), {quote(each)} is not null) as {quote(known_of(each))}"
        for each, often in detail.quantiles.items()
    ]
    name = f"{aggregate_table(detail.table, aggregate.name)}_filling"
    # No word about who may read it: rows pass through it, none stay.
    return (
        f"create materialized view if not exists {qualified(database, name)} "
        f"to {qualified(database, aggregate_table(detail.table, aggregate.name))} "
        f"as select {', '.join(selected)}, {quote(GENERATION)} from {qualified(database, detail.table)} "
        f"group by {_list((*key, GENERATION))}"
    )


def views(database: str, detail: Detail) -> list[str]:
    """A view of each table, under a name that stays, of the version that stands."""
    made = []
    columns = {detail.table: (detail.name, [column.name for column in detail.contract.columns])}
    for each in detail.aggregates:
        key = sorted_by(detail, each)
        columns[aggregate_table(detail.table, each.name)] = (
            aggregate_table(detail.name, each.name),
            [
                *key,
                ROWS,
                *map(sum_of, detail.sums),
                *map(unique_of, _uniques(detail, key)),
                *map(quantiles_of, detail.quantiles),
                *map(known_of, detail.quantiles),
            ],
        )
    for table, (name, names) in columns.items():
        made.append(
            f"create or replace view {qualified(database, name)} sql security invoker as select {_list(names)} "
            f"from {qualified(database, table)} where ({quote(TENANT)}, {quote(DAY)}, {quote(GENERATION)}) in "
            f"(select tenant_id, day, argMax(generation, version) from {qualified(database, SLICES)} "
            f"where relation = {text(detail.table)} and generation in "
            f"(select generation from {qualified(database, PUBLICATIONS)}) group by tenant_id, day)"
        )
    return made


def drops(database: str, table: str, every_table: list[str]) -> list[str]:
    """Take away a model's table that no version needs any more, with all that hangs on it."""
    hanging = sorted((each for each in every_table if each.startswith(f"{table}_")), reverse=True)
    # What fills an aggregate goes before it, by its longer name.
    return [f"drop table if exists {qualified(database, each)} sync" for each in (*hanging, table)]


def _uniques(detail: Detail, key: tuple[str, ...]) -> list[str]:
    """Of a column that is in the key there is only one value."""
    return [each for each in detail.uniques if each not in key]


def _widened(detail: Detail, column: str) -> str:
    kind = detail.type_of_sum(column)
    return f"cast({quote(column)}, {text(kind)})"


def _type_in_key(detail: Detail, column: str) -> str:
    return "DateTime('UTC')" if column == "hour" else detail.type(column)


def _list(columns: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(quote, columns))


def text(value: str) -> str:
    """A literal. Backslashes escape in ClickHouse."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
