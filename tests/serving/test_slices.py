"""The slices that differ are found, however long ago they are, and no others."""

# ruff: noqa: S608 - names are the test's own

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from uuid import UUID

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.contract import Column, TableContract
from serving.slices import Part, Rollup

TENANTS = [str(UUID(int=number % 3 | number << 100)) for number in range(6)]
"""Two of each bucket."""
LAST = date(2026, 3, 4)
CONTRACT = TableContract(
    name="figures",
    source=("memory", "figures"),
    columns=(
        Column(name="tenant_id", type="uuid"),
        Column(name="day", type="date"),
        Column(name="feature", type="text"),
        Column(name="figure", type="bigint"),
    ),
    key=("tenant_id", "day", "feature"),
)
PARTS = pa.schema(
    [
        ("part", pa.date32()),
        ("bucket", pa.int16()),
        ("hash", pa.int64()),
        ("tenants", pa.list_(pa.binary())),
        ("days", pa.list_(pa.date32())),
        ("hashes", pa.list_(pa.int64())),
    ]
)
Rows = dict[tuple[str, date, str], int]

days = (st.integers(0, 16) | st.integers(0, 80)).map(lambda ago: LAST - timedelta(days=ago))
rows_of_tenants = st.dictionaries(
    st.tuples(st.sampled_from([*TENANTS, "unattributed"]), days, st.sampled_from("ab")), st.integers(0, 2), max_size=40
)
some_tenants = st.sets(st.sampled_from(TENANTS))


@settings(max_examples=100, deadline=None)
@given(before=rows_of_tenants, changes=rows_of_tenants, gone=st.integers(0, 40), away=some_tenants, held=some_tenants)
def test_exactly_the_slices_that_differ_are_found_and_their_parts_say_what_is_to_stand(
    before: Rows, changes: Rows, gone: int, away: set[str], held: set[str]
) -> None:
    now = dict(list((before | changes).items())[gone // 8 :])
    here = [tenant for tenant in TENANTS if tenant not in away | held]
    kept = {key: figure for key, figure in before.items() if key[0] in held}
    to_stand = kept | {key: figure for key, figure in now.items() if key[0] in here}
    with duckdb.connect() as warehouse:
        stood = _parts(_rollup(warehouse, "before", before))
        fresh = _rollup(warehouse, "now", now)
        assert fresh.measure() == {tenant: sum(key[0] == tenant for key in now) for tenant, _, _ in now}

        touched = fresh.touched(stood.select(["part", "bucket", "hash"]), here)
        fresh.hash_touched(touched)
        warehouse.register("stood", stood)
        stored = warehouse.execute(
            "select unnest(tenants) as tenant_id, unnest(days) as day, unnest(hashes) as hash from stood semi join "
            "(select unnest($parts::date[]) as part, unnest($buckets::smallint[]) as bucket) using (part, bucket)",
            {"parts": [part for part, _ in touched], "buckets": [bucket for _, bucket in touched]},
        ).to_arrow_table()
        fresh.compare(stored, keep=held)

        found = warehouse.sql(f"select tenant_id, day, hash, was from {fresh.found_different}").fetchall()
        different = {(str(UUID(bytes=tenant)), day): (was is None, hash is None) for tenant, day, hash, was in found}
        assert len(different) == len(found)
        old, new = _slices(before), _slices(to_stand)
        assert different == {
            each: (each not in old, each not in new) for each in old | new if old.get(each) != new.get(each)
        }
        stands = {part: hash for part, hash in _hashes(stood).items() if part not in touched}
        stands |= _hashes(_table(fresh.parts_touched()))
        assert stands == _hashes(_parts(_rollup(warehouse, "to_stand", to_stand)))


def _rollup(warehouse: duckdb.DuckDBPyConnection, name: str, rows: Rows) -> Rollup:
    warehouse.execute(f"create table {name} (tenant_id varchar, day date, feature varchar, figure bigint)")
    if rows:
        warehouse.executemany(f"insert into {name} values (?, ?, ?, ?)", [[*key, rows[key]] for key in rows])
    return Rollup(connection=warehouse, contract=CONTRACT, relation=name, alias=f"{name}_")


def _parts(rollup: Rollup) -> pa.Table:
    return _table(rollup.parts(TENANTS))


def _table(batches: Iterator[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches, schema=PARTS)


def _hashes(parts: pa.Table) -> dict[Part, int]:
    columns = (parts[name].to_pylist() for name in ("part", "bucket", "hash"))
    return {(part, bucket): hash for part, bucket, hash in zip(*columns, strict=True)}


def _slices(rows: Rows) -> dict[tuple[str, date], set[tuple[str, int]]]:
    found = defaultdict(set)
    for (tenant, day, feature), figure in rows.items():
        if tenant in TENANTS:
            found[tenant, day].add((feature, figure))
    return dict(found)
