"""Copies are exact however often they are interrupted, and read again only what was not copied or has changed."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import RawColumn
from ingestion.postgres import sync
from ingestion.postgres.catalog import SourceTable
from ingestion.postgres.reader import Blocks
from ingestion.postgres.slots import exported_snapshot
from ingestion.postgres.snapshot import Snapshot
from settings import TailraceError
from warehouse import positions, transaction

pytestmark = pytest.mark.operations

TENANT = "00000000-0000-0000-0000-000000000001"
TOAST = "(select string_agg(md5(random()::text), '') from generate_series(1, 200))"
POINTS = (
    "after_slot_creation",
    "mid_chunk:1",
    "mid_chunk:4",
    "after_chunk:1",
    "after_chunk:5",
    "mid_snapshot",
    "before_snapshot_commit",
    "after_snapshot_commit",
)
# One statement each, with the blocks that rows lie in: a row is about 1/30 of a block.
WRITES = {
    "nothing": (),
    "updates in place": ("update app.items set n = n + 10000 where n % 7 = 0",),
    "updates that move": ("update app.items set title = repeat('y', 1500) where n % 5 = 0",),
    "deletes": ("delete from app.items where n % 3 = 0",),
    "space that is used again": (
        "delete from app.items where n between 1 and 200",
        "vacuum app.items",
        "insert into app.items (tenant_id, id, n) "
        f"select '{TENANT}', md5('new' || i)::uuid, i from generate_series(1001, 1150) i",
    ),
    "a key that is used again elsewhere": (
        "create temp table again as select * from app.items where n between 1 and 40",
        "delete from app.items where n between 1 and 40",
        "insert into app.items select * from again",
        "vacuum app.items",
    ),
    "keys that change on rows with large values": (
        "update app.items set id = md5(id::text)::uuid where note is not null",
        "update app.items set id = md5('x' || id::text)::uuid where n between 10 and 12",
    ),
    "keys that are swapped": (
        "update app.items set id = md5('spare')::uuid where n = 5",
        "update app.items set id = md5('5') ::uuid where n = 300",
        "update app.items set id = md5('300')::uuid where n = 5",
    ),
    "frozen rows": ("update app.items set n = -n where n % 50 = 0", "vacuum freeze app.items"),
    "a truncation": (
        "truncate app.items",
        "insert into app.items (tenant_id, id, n) "
        f"select '{TENANT}', md5(i::text)::uuid, i from generate_series(1, 60) i",
    ),
    "a rewrite": ("delete from app.items where n < 100", "vacuum full app.items"),
    "growth": (
        "insert into app.items (tenant_id, id, n, title) "
        f"select '{TENANT}', md5('g' || i)::uuid, i, repeat('z', 300) from generate_series(2000, 2300) i",
    ),
    "fewer blocks": ("delete from app.items where n > 150", "vacuum app.items"),
}
_CHILD = """
import pickle, sys
from ingestion.postgres import sync
from settings import load_settings
from warehouse import open_warehouse
settings = load_settings()
sync(settings, open_warehouse(settings), tables=pickle.load(open(sys.argv[1], "rb")), chunk_blocks=2)
"""


def copy_killed(product: Any, failpoint: str) -> int:
    """A pass with chunks of two blocks in a process of its own, that dies at the failpoint; its exit code."""
    arguments = product.folder / "copy.pickle"
    arguments.write_bytes(pickle.dumps(product.tables))
    environment = os.environ | {"TAILRACE_CONFIG": str(product.config), "TAILRACE_FAILPOINT": failpoint}
    environment |= {"TAILRACE_HOME": str(product.folder), "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(
        [sys.executable, "-c", _CHILD, str(arguments)], env=environment, timeout=120, capture_output=True
    ).returncode


def copy(product: Any) -> Any:
    """The report of a pass with chunks of two blocks over the shared database."""
    return sync(product.settings, product.warehouse, tables=product.tables, chunk_blocks=2)[0]


def fill(product: Any) -> None:
    product.run(
        product.shared,
        "insert into app.items (tenant_id, id, n, title, note) "
        f"select '{TENANT}', md5(i::text)::uuid, i, repeat('t', 180), case when i % 40 = 0 then {TOAST} || i end "
        "from generate_series(1, 400) i",
        "insert into t_acme.items (tenant_id, id, n) "
        f"select '{TENANT}', md5('a' || i)::uuid, i from generate_series(1, 20) i",
    )
    write(
        product,
        "alter table app.items set (autovacuum_enabled = false)",
        "grant select (ctid, xmin) on app.items to cdc",
    )


def write(product: Any, *statements: str) -> None:
    for statement in statements:
        product.connection(product.shared).execute(statement)


def copied(product: Any) -> list[tuple[Any, ...]]:
    """The bookkeeping of copies: (relation, first block, end, rows)."""
    known = "select 1 from information_schema.tables where table_schema = 'tailrace' and table_name = 'copied'"
    if not product.raw(known):
        return []
    return product.raw("select relation, first, last, rows from tailrace.copied order by all")


def shadows(product: Any) -> list[tuple[Any, ...]]:
    return product.raw("select table_name from information_schema.tables where table_name like '\\_copy%' escape '\\'")


@pytest.mark.parametrize("writes", WRITES)
def test_killed_between_chunks_and_written_to_raw_equals_the_source(product: Any, writes: str) -> None:
    fill(product)
    assert copy_killed(product, "after_chunk:5") == -signal.SIGKILL
    assert [row for row in copied(product) if row[0] == "app.items"]
    write(product, *WRITES[writes])
    copy(product)
    product.assert_equal()
    assert copied(product) == shadows(product) == []
    write(product, "update app.items set n = 0 where n % 2 = 0", "delete from app.items where n = 1")
    copy(product)
    product.assert_equal()


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_in_a_copy_raw_equals_the_source(product: Any, point: str) -> None:
    fill(product)
    assert copy_killed(product, point) == -signal.SIGKILL
    for name in ("updates that move", "deletes", "space that is used again", "keys that are swapped"):
        write(product, *WRITES[name])
    copy(product)
    product.assert_equal()
    assert copied(product) == shadows(product) == []


def test_a_role_without_the_right_to_physical_columns_copies_whole_tables(product: Any) -> None:
    fill(product)
    write(product, "revoke select (ctid, xmin) on app.items from cdc")
    assert copy_killed(product, "before_snapshot_commit") == -signal.SIGKILL
    assert [row[1:] for row in copied(product) if row[0] == "app.items"] == [(0, None, 400)]
    copy(product)
    product.assert_equal()


def test_killed_again_and_again_raw_equals_the_source(product: Any) -> None:
    fill(product)
    for point, name in zip(
        ("mid_chunk:3", "after_chunk:2", "mid_chunk:2", "after_chunk:3", "before_snapshot_commit"),
        ("updates that move", "space that is used again", "keys that are swapped", "growth", "frozen rows"),
        strict=True,
    ):
        copy_killed(product, point)
        write(product, *WRITES[name])
    copy(product)
    product.assert_equal()


def test_a_resumed_copy_reads_what_was_left_and_what_has_changed_alone(product: Any) -> None:
    fill(product)
    assert copy_killed(product, "after_chunk:5") == -signal.SIGKILL
    ranges = [row for row in copied(product) if row[0] == "app.items"]
    there = sum(rows for *_, rows in ranges)
    inside = " or ".join(Blocks(first, last).sql for _, first, last, _ in ranges)
    kept, total = product.run(product.shared, f"select count(*) filter (where {inside}), count(*) from app.items")[0]
    assert there == kept
    assert 0 < kept < total
    changed = f"n in (select n from app.items where {inside} order by n limit 3)"
    write(product, f"update app.items set done = true where {changed}")
    known = {relation for relation, *_ in copied(product)}
    report = copy(product)
    product.assert_equal()
    others = sum(
        product.run(product.shared, f"select count(*) from {name}")[0][0]
        for name in ("t_acme.items",)
        if name not in known
    )
    assert report.tables["items"].snapshotted == total - kept + 3 + others


def test_of_a_copy_that_was_whole_only_small_tables_and_young_rows_are_read_again(product: Any) -> None:
    fill(product)
    assert copy_killed(product, "before_snapshot_commit") == -signal.SIGKILL
    write(product, *WRITES["deletes"])
    assert copy(product).snapshotted <= 420 // 10
    product.assert_equal()


def test_another_shape_of_the_table_starts_its_copy_over(product: Any) -> None:
    fill(product)
    assert copy_killed(product, "after_chunk:5") == -signal.SIGKILL
    items, members = product.tables
    product.tables = (
        replace(items, columns=tuple(RawColumn("n", "BIGINT") if c.name == "n" else c for c in items.columns)),
        members,
    )
    report = copy(product)
    assert report.snapshotted == 420
    product.assert_equal()


def test_copies_that_a_deleted_position_left_are_not_used(product: Any) -> None:
    fill(product)
    assert copy_killed(product, "before_snapshot_commit") == -signal.SIGKILL
    with product.warehouse.writer("test") as con:
        con.execute("delete from tailrace.positions where stream = ?", [product.shared])
    write(product, *WRITES["deletes"])
    copy(product)
    product.assert_equal()


def test_a_raw_table_that_a_copy_replaces_keeps_its_columns_in_order(product: Any) -> None:
    describe = "select column_name, column_type from (describe raw_app.items)"
    product.tables = product.tables[:1]
    copy(product)
    before = product.raw(describe)
    with product.warehouse.writer("test") as con:
        con.execute("delete from tailrace.positions")
    fill(product)
    copy(product)
    assert product.raw(describe) == before
    assert product.raw("select count(distinct _airbyte_raw_id) from raw_app.items") == [(420,)]


def test_a_partitioned_table_is_copied_through_its_root(product: Any) -> None:
    root = "create table app.parts (id int primary key, body text) partition by range (id)"
    parts = (
        f"create table app.parts_{n} partition of app.parts for values from ({n}000) to ({n + 1}000)" for n in range(3)
    )
    rows = (
        "insert into app.parts select i, repeat('b', 200) from generate_series(0, 2999) i "
        "where i % 1000 < 100 * (i / 1000)"
    )
    publish = "alter publication tailrace add table app.parts"
    root_only = "alter publication tailrace set (publish_via_partition_root = true)"
    product.run(product.shared, root, *parts, rows, "grant select on app.parts to cdc", publish, root_only)
    table = replace(
        product.tables[0],
        name="parts",
        columns=(RawColumn("id", "INTEGER"), RawColumn("body", "VARCHAR")),
        key=("id",),
        personal=frozenset(),
    )
    product.tables = (table,)
    for database, schemas in product.schemas.items():
        for schema in schemas:
            if (database, schema) != (product.shared, "app"):
                empty = f"create table {schema}.parts (id int primary key, body text)"
                grant = f"grant select on {schema}.parts to cdc"
                product.run(database, empty, grant, f"alter publication tailrace add table {schema}.parts")
    assert copy_killed(product, "after_chunk:3") == -signal.SIGKILL
    write(
        product,
        "delete from app.parts where id % 7 = 0",
        "update app.parts set body = 'moved' where id % 11 = 0",
        "update app.parts set id = id - 1000 where id between 2150 and 2160",
    )
    copy(product)
    product.assert_equal()


def test_a_table_that_is_rewritten_while_it_is_copied_is_refused(product: Any) -> None:
    fill(product)
    copy(product)
    dsn = product.settings.source_databases()[product.shared]
    table = source_table(product)
    with exported_snapshot(dsn, "tailrace_test", temporary=True) as (lsn, name):
        write(product, "alter table app.items add column filler float default random()")
        snapshot = open_copy(product, dsn, lsn, name)
        with pytest.raises(TailraceError, match=r"app\.items was rewritten or truncated .* run the pass again"):
            snapshot.copy([table])


def test_a_column_is_filled_for_the_rows_that_have_it_and_nothing_else_changes(product: Any) -> None:
    fill(product)
    copy(product)
    write(product, "delete from app.items where n <= 3")
    copy(product)
    rest = "select id, n, title, _ab_cdc_deleted_at, _ab_cdc_lsn from raw_app.items order by id"
    before = product.raw(rest)
    write(product, "update app.items set score = n where n between 1 and 9")
    dsn = product.settings.source_databases()[product.shared]
    with exported_snapshot(dsn, "tailrace_test", temporary=True) as (lsn, name):
        snapshot = open_copy(product, dsn, lsn, name)
        with product.warehouse.writer("test") as con, transaction(con):
            filled = snapshot.backfill(con, source_table(product), ["score"], extracted_at=positions.stamp(con))
    assert filled == 6
    assert product.raw("select n, score from raw_app.items where score is not null order by n") == [
        (n, float(n)) for n in range(4, 10)
    ]
    assert product.raw(rest) == before


def test_infinite_and_extreme_moments_are_exact(product: Any) -> None:
    values = [
        ("'infinity'", "'infinity'"),
        ("'-infinity'", "'-infinity'"),
        ("'4713-01-01 BC'", "'4713-01-01 00:00:00+00 BC'"),
        ("'5874897-12-31'", "'294246-12-31 23:59:59.999999+00'"),
        ("null", "null"),
    ]
    product.run(
        product.shared,
        *(
            f"insert into app.items (tenant_id, id, due_on, at) values ('{TENANT}', md5('{number}')::uuid, {due}, {at})"
            for number, (due, at) in enumerate(values)
        ),
    )
    copy(product)
    product.assert_equal()


def test_a_value_that_does_not_fit_is_refused_by_its_column_and_unseen(product: Any) -> None:
    product.run(
        product.shared,
        f"insert into app.items (tenant_id, id, at) values ('{TENANT}', md5('1')::uuid, '294276-12-31 00:00:00+00')",
    )
    with pytest.raises(TailraceError, match=r"raw_app\.items\.at: a value does not fit") as caught:
        copy(product)
    assert "294276" not in str(caught.value)


def source_table(product: Any) -> SourceTable:
    """``app.items`` of the shared database."""
    raw = product.tables[0]
    rows = product.run(
        product.shared,
        "select attname::text, atttypid::bigint, atttypmod from pg_attribute "
        "where attrelid = 'app.items'::regclass and attnum > 0",
    )
    types = {name: (oid, typmod) for name, oid, typmod in rows}
    return SourceTable("app", raw, {column.name: types[column.name] for column in raw.columns}, None)


def open_copy(product: Any, dsn: str, lsn: int, name: str) -> Snapshot:
    return Snapshot(
        database=product.shared,
        dsn=dsn,
        system="1",
        slot="none",
        lsn=lsn,
        name=name,
        warehouse=product.warehouse,
        chunk_blocks=2,
        progress=lambda message: None,
    )
