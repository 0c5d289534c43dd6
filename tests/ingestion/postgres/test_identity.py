"""However a table names its rows, whatever it is called, and wherever its rows are stored: raw equals the source."""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from ingestion.land import RawColumn, RawTable
from settings import TailraceError
from warehouse import quote

pytestmark = pytest.mark.operations

TENANT = "00000000-0000-0000-0000-000000000001"
LARGE = "(select string_agg(md5('{0}.' || i), '') from generate_series(1, 300) i)"
"""Does not compress: too long to stay in the row."""


def raw(name: str, columns: dict[str, str], key: tuple[str, ...], personal: set[str] | None = None) -> RawTable:
    kinds = tuple(RawColumn(column, kind) for column, kind in columns.items())
    return RawTable("raw_app", name, kinds, key, frozenset(personal or ()))


def add_table(product: Any, table: RawTable, ddl: str, *, schema: str = "app") -> None:
    """One more table of the shared database, published whole. ``{0}`` stands for its name."""
    name = f"{quote(schema)}.{quote(table.name)}"
    if table not in product.tables:
        product.tables = (*product.tables, table)
    grant = f"grant usage on schema {quote(schema)} to cdc; grant select on {name} to cdc"
    product.run(product.shared, ddl.format(name), grant, f"alter publication tailrace add table {name}")


def land(product: Any, *, batch: int = 250_000) -> None:
    product.sync(batch_messages=batch)
    product.assert_equal()


def attempt(product: Any) -> str | None:
    """A pass that may refuse; None if it did not, and then raw equals the source."""
    try:
        product.sync()
    except TailraceError as error:
        return str(error)
    product.assert_equal()
    return None


def refused(product: Any, says: str) -> str:
    """A pass that changes nothing and says in one line why; raw is what it was."""
    before = product.raw("from tailrace.positions") if product.settings.warehouse_path.exists() else []
    with pytest.raises(TailraceError, match=says) as caught:
        product.sync()
    assert "\n" not in str(caught.value)
    if before:
        assert product.raw("from tailrace.positions") == before
    return str(caught.value)


# What names a row

THINGS = raw(
    "things",
    {"tenant_id": "INTEGER", "id": "INTEGER", "title": "VARCHAR", "note": "VARCHAR", "n": "INTEGER"},
    ("tenant_id", "id"),
    {"title", "note"},
)
COLUMNS = "tenant_id int not null, id int not null, title text, note text, n int"
IDENTITIES = {
    "default": f"create table {{0}} ({COLUMNS}, primary key (tenant_id, id))",
    "full": f"create table {{0}} ({COLUMNS}, primary key (tenant_id, id)); alter table {{0}} replica identity full",
    "full_of_a_unique_index": f"create table {{0}} ({COLUMNS}); create unique index on {{0}} (tenant_id, id); "
    "alter table {0} replica identity full",
    "index": f"create table {{0}} ({COLUMNS}); create unique index named on {{0}} (id, tenant_id); "
    "alter table {0} replica identity using index named",
    "index_beside_a_key": f"create table {{0}} ({COLUMNS}, serial int generated always as identity primary key); "
    "create unique index named on {0} (tenant_id, id); alter table {0} replica identity using index named",
    "include": f"create table {{0}} ({COLUMNS}, primary key (tenant_id, id) include (n))",
}


def things(product: Any, *numbers: int) -> None:
    rows = (f"(1, {n}, 'title {n}', {LARGE.format(n)}, {n})" for n in numbers)
    product.run(product.shared, f"insert into app.things (tenant_id, id, title, note, n) values {', '.join(rows)}")


def rename(old: int, new: int, sets: str = "") -> str:
    return f"update app.things set id = {new}{sets} where id = {old}"


@pytest.mark.parametrize("batch", [1, 250_000])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_rows_change_in_every_way_under_each_identity(product: Any, identity: str, batch: int) -> None:
    add_table(product, THINGS, IDENTITIES[identity])
    things(product, *range(1, 13))
    land(product)
    write = product.run
    # One key: gone, made again, changed, gone, made again.
    again = f"insert into app.things (tenant_id, id, title, note) values (1, 1, 'again', {LARGE.format('again')})"
    gone = "delete from app.things where id = 1"
    write(product.shared, gone, again, "update app.things set n = 7 where id = 1", gone, again)
    # The key changes, with the large value unchanged, changed before, changed at once, changed after.
    write(product.shared, rename(2, 102))
    write(product.shared, f"update app.things set note = {LARGE.format('new')} where id = 3", rename(3, 103))
    write(product.shared, rename(4, 104, f", note = {LARGE.format('newer')}"))
    write(product.shared, rename(5, 105), f"update app.things set note = {LARGE.format('newest')} where id = 105")
    # To itself, there and back, over several keys, and over a key that another row has left.
    write(product.shared, rename(6, 6), rename(6, 6, ", title = 'itself'"), "update app.things set n = n where id = 6")
    write(product.shared, rename(7, 107), rename(107, 7))
    write(product.shared, rename(8, 108), rename(108, 208), "update app.things set n = 0 where id = 208", rename(9, 8))
    # Two rows swap their keys through a value that nobody has.
    write(product.shared, rename(10, -1), rename(11, 10), rename(-1, 11))
    # Gone after the key changed; changed where the large value is not sent again; emptied.
    write(product.shared, rename(12, 112), "delete from app.things where id = 112")
    write(product.shared, "update app.things set n = n + 1, title = null where id in (10, 11)")
    write(product.shared, "update app.things set note = null, title = '' where id = 103")
    land(product, batch=batch)
    ((deleted,),) = product.raw("select count(*) from raw_app.things where _ab_cdc_deleted_at is not null and id = 112")
    assert deleted <= 1


@pytest.mark.parametrize("identity", IDENTITIES)
def test_keys_swap_and_large_values_stay_with_their_rows_from_pass_to_pass(product: Any, identity: str) -> None:
    add_table(product, THINGS, IDENTITIES[identity])
    things(product, 1, 2, 3)
    land(product)
    for _ in range(3):
        product.run(product.shared, rename(1, 0), rename(2, 1), rename(3, 2), rename(0, 3))
        product.run(product.shared, "update app.things set n = n + 10")
        land(product)
    titles = "select id, title, n from raw_app.things where _ab_cdc_deleted_at is null order by id"
    assert product.raw(titles) == [(n, f"title {n}", n + 30) for n in (1, 2, 3)]  # once around


@pytest.mark.parametrize(
    "damage",
    [
        "alter table app.things replica identity nothing",
        "alter table app.things drop constraint things_pkey",
        "create unique index other on app.things (id); alter table app.things replica identity using index other",
        "create unique index other on app.things (tenant_id, id); "
        "alter table app.things replica identity using index other; drop index app.other",
        "alter table app.things drop constraint things_pkey, add primary key (tenant_id, id, n)",
        "alter table app.things drop constraint things_pkey, replica identity full",
    ],
)
@pytest.mark.parametrize("after_a_pass", [False, True])
def test_what_does_not_name_rows_by_the_contracts_key_is_refused(product: Any, damage: str, after_a_pass: bool) -> None:
    add_table(product, THINGS, IDENTITIES["default"])
    things(product, 1, 2)
    if after_a_pass:
        land(product)
    product.run(product.shared, damage)
    assert "things" in refused(product, "identity|key|unique")
    mend = (
        "alter table app.things replica identity default; alter table app.things drop constraint if exists things_pkey"
    )
    product.run(product.shared, mend, "alter table app.things add primary key (tenant_id, id)")
    land(product)


@pytest.mark.parametrize(
    ("other", "back"),
    [
        (
            "create unique index other on app.things (n); alter table app.things alter n set not null, "
            "replica identity using index other",
            "alter table app.things replica identity default",
        ),
        (
            "alter table app.things alter n set not null, drop constraint things_pkey, add primary key (n)",
            "alter table app.things drop constraint things_pkey, add primary key (tenant_id, id)",
        ),
        ("alter table app.things replica identity full", "alter table app.things replica identity default"),
    ],
)
def test_deletes_that_were_named_otherwise_between_two_passes_are_not_lost(product: Any, other: str, back: str) -> None:
    """What stands when a pass looks is not what stood when the rows were written."""
    add_table(product, THINGS, IDENTITIES["default"])
    things(product, 1, 2, 3, 4)
    land(product)
    changes = ("delete from app.things where id = 1", rename(2, 20), "update app.things set n = 33 where id = 3")
    product.run(product.shared, other, *changes)
    product.run(product.shared, back)
    before = product.raw("select * from raw_app.things order by id")
    if (error := attempt(product)) is not None:
        assert "things" in error
        assert product.raw("select * from raw_app.things order by id") == before


# Tables without a key

NOTES = raw(
    "notes",
    {"tenant_id": "INTEGER", "body": "VARCHAR", "score": "DOUBLE", "amount": "VARCHAR", "doc": "JSON", "at": "DATE"},
    (),
    {"body"},
)
KEYLESS = (
    "create table {0} (tenant_id int, body text, score float8, amount numeric, doc json, at date); "
    "alter table {0} replica identity full"
)


def keyless(product: Any, *schemas: str) -> None:
    for schema in schemas or ("app",):
        add_table(product, NOTES, KEYLESS, schema=schema)


def live_notes(product: Any) -> int:
    return product.raw("select count(*) from raw_app.notes where _ab_cdc_deleted_at is null")[0][0]


def one_of(condition: str, schema: str = "app") -> str:
    return f"ctid = (select min(ctid) from {schema}.notes where {condition})"


NOTE = "insert into app.notes values (1, 'a', 1.5, 1.50, '{\"k\": 1}', '2026-01-01')"


@pytest.mark.parametrize("batch", [1, 250_000])
def test_equal_rows_of_a_table_without_a_key_are_counted(product: Any, batch: int) -> None:
    keyless(product)
    product.run(product.shared, NOTE, NOTE, NOTE, "insert into app.notes values (1, 'b'), (1, 'b'), (null, null)")
    land(product)
    assert live_notes(product) == 6
    product.run(product.shared, f"delete from app.notes where {one_of('score = 1.5')}")
    land(product, batch=batch)
    assert live_notes(product) == 5
    product.run(product.shared, f"update app.notes set body = 'c' where {one_of('score = 1.5')}", NOTE)
    product.run(product.shared, f"delete from app.notes where {one_of('tenant_id is null')}", NOTE, NOTE)
    product.run(product.shared, "update app.notes set body = 'a' where body = 'c'")
    land(product, batch=batch)
    assert live_notes(product) == 7
    product.run(product.shared, "delete from app.notes where score = 1.5", NOTE)
    land(product, batch=batch)
    assert live_notes(product) == 3


@pytest.mark.parametrize("batch", [1, 250_000])
def test_rows_of_a_table_without_a_key_come_go_and_change_within_one_batch(product: Any, batch: int) -> None:
    keyless(product)
    product.run(product.shared, NOTE)
    land(product)
    # As many gone as came, in both orders; one that becomes equal to another; one that changes and changes back.
    product.run(product.shared, NOTE, "delete from app.notes where tenant_id = 1", NOTE, NOTE)
    product.run(product.shared, f"delete from app.notes where {one_of('tenant_id = 1')}")
    product.run(product.shared, "insert into app.notes (tenant_id, body) values (2, 'x'), (2, 'y')")
    product.run(product.shared, "update app.notes set body = 'x' where body = 'y'")
    product.run(product.shared, "update app.notes set tenant_id = 9 where score = 1.5")
    product.run(product.shared, "update app.notes set tenant_id = 1 where score = 1.5")
    product.run(product.shared, "update app.notes set tenant_id = tenant_id")
    land(product, batch=batch)
    product.run(product.shared, NOTE, "truncate app.notes", NOTE, NOTE)
    product.run(product.shared, f"delete from app.notes where {one_of('true')}")
    land(product, batch=batch)
    assert live_notes(product) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1, null, null, null, null, null", "1, '', null, null, null, null"),
        ("1, 'x', 'nan', 'nan', null, 'infinity'", "1, 'x', 'infinity', 'infinity', null, '-infinity'"),
        ("1, 'x', 0.0, 1.0, null, null", "1, 'x', '-0', 1.00, null, null"),
        ("1, 'x', null, null, '{\"a\": 1, \"b\": 2}', null", "1, 'x', null, null, '{\"b\": 2, \"a\": 1}', null"),
        ("1, 'x', null, null, 'null', null", "1, 'x', null, null, null, null"),
        ("1, 'x', 0.1, 0.1, null, '0044-03-15 BC'", "1, 'x', 0.30000000000000004, 0.10, null, '0044-03-15'"),
    ],
)
def test_rows_that_differ_only_a_little_are_not_taken_for_one_another(product: Any, one: str, other: str) -> None:
    keyless(product)
    product.run(product.shared, *(f"insert into app.notes values ({row})" for row in (one, other, one, other)))
    land(product)
    product.run(product.shared, "delete from app.notes where ctid = '(0,1)'")
    land(product)
    product.run(product.shared, "delete from app.notes where ctid = '(0,2)'", f"insert into app.notes values ({one})")
    land(product)
    product.run(product.shared, "delete from app.notes where ctid in ('(0,3)', '(0,4)')")
    land(product)


def test_large_values_of_a_table_without_a_key_are_kept_when_others_change(product: Any) -> None:
    keyless(product)
    values = f"1, {LARGE.format('x')}, 1.5, null, to_json({LARGE.format('y')}), null"
    product.run(product.shared, *(f"insert into app.notes values ({values})",) * 3)
    land(product)
    product.run(product.shared, f"update app.notes set score = 2 where {one_of('true')}")
    land(product)
    product.run(product.shared, "update app.notes set at = '2026-01-01'", "update app.notes set at = at")
    product.run(product.shared, f"insert into app.notes values ({values})", "update app.notes set score = 3")
    land(product)


def test_equal_rows_of_two_schemas_are_two_rows(product: Any) -> None:
    keyless(product, "app", "t_acme")
    product.run(product.shared, NOTE, NOTE, NOTE.replace("app.", "t_acme."), NOTE.replace("app.", "t_acme."))
    land(product)
    product.run(product.shared, "delete from app.notes", f"delete from t_acme.notes where {one_of('true', 't_acme')}")
    land(product)
    product.run(product.shared, NOTE, "truncate t_acme.notes")
    land(product)


def test_a_killed_pass_over_a_table_without_a_key_loses_and_doubles_nothing(product: Any) -> None:
    keyless(product)
    product.run(product.shared, *(NOTE,) * 5)
    product.sync_killed("before_snapshot_commit")
    product.run(product.shared, *(NOTE,) * 2)
    land(product)
    for point in ("after_fetch", "before_commit", "after_commit", "after_advance"):
        product.run(product.shared, NOTE, NOTE, f"delete from app.notes where {one_of('true')}")
        product.run(product.shared, "insert into app.notes values (2, 'other')")
        product.sync_killed(point, batch_messages=3)
        product.run(product.shared, f"delete from app.notes where {one_of('tenant_id = 2')}", NOTE)
        land(product, batch=2)


def test_a_table_without_a_key_whose_deletes_would_name_nothing_is_refused(product: Any) -> None:
    add_table(product, NOTES, KEYLESS.partition(";")[0])
    product.run(product.shared, NOTE)
    assert "replica identity full" in refused(product, "notes")
    product.run(product.shared, "alter table app.notes replica identity full")
    land(product)


# Tables whose rows are stored elsewhere

EVENTS = raw(
    "events",
    {"tenant_id": "INTEGER", "id": "INTEGER", "day": "DATE", "note": "VARCHAR"},
    ("tenant_id", "id", "day"),
    {"note"},
)
PARTITIONED = (
    "create table {0} (tenant_id int, id int, day date, note text, primary key (tenant_id, id, day)) "
    "partition by range (day); "
    "create table {0}_may partition of {0} for values from ('2026-05-01') to ('2026-06-01'); "
    "create table {0}_june partition of {0} for values from ('2026-06-01') to ('2026-07-01'); "
    "create table {0}_rest partition of {0} default"
)


def partitioned(product: Any) -> None:
    add_table(product, EVENTS, PARTITIONED.replace("{0}_", "app.events_"))
    product.run(product.shared, "alter publication tailrace set (publish_via_partition_root = true)")


def events(product: Any, *ids: int, day: str, into: str = "app.events") -> None:
    rows = (f"(1, {n}, '{day}', {LARGE.format(n)})" for n in ids)
    product.run(product.shared, f"insert into {into} values {', '.join(rows)}")


def test_partitions_land_as_the_table_that_they_make_up(product: Any) -> None:
    partitioned(product)
    events(product, 1, 2, day="2026-05-03")
    events(product, 3, 4, day="2026-06-03")
    events(product, 5, day="2031-01-01")
    land(product)
    product.run(
        product.shared,
        "update app.events set day = '2026-06-04' where id = 1",  # to another partition
        "update app.events set id = 20 where id = 2",
        "update app.events set note = null where id = 3",
        "delete from app.events where id = 4",
        "update app.events set day = '2026-05-31', note = 'moved' where id = 5",
        "update app.events set day = '2030-05-31' where id = 5",
    )
    events(product, 6, 7, day="2026-05-09", into="app.events_may")
    product.run(product.shared, "update app.events_may set day = '2026-05-10' where id = 6")
    land(product)
    product.run(product.shared, "truncate app.events")
    events(product, 1, day="2026-05-03")
    land(product)


def test_a_partition_made_in_mid_stream_lands_with_its_rows(product: Any) -> None:
    partitioned(product)
    events(product, 1, day="2026-05-03")
    land(product)
    product.run(
        product.shared,
        "create table app.events_july partition of app.events for values from ('2026-07-01') to ('2026-08-01')",
        "insert into app.events values (1, 2, '2026-07-02', 'x')",
    )
    product.run(product.shared, "update app.events set day = '2026-07-03' where id = 1")
    land(product)


def test_partitions_of_partitions_with_columns_in_another_order_land(product: Any) -> None:
    partitioned(product)
    product.run(
        product.shared,
        "create table app.late (note text, gone int, day date not null, id int not null, tenant_id int not null)",
        "alter table app.late drop column gone, add primary key (tenant_id, id, day)",
        "alter table app.events attach partition app.late for values from ('2027-01-01') to ('2028-01-01')",
        "create table app.split partition of app.events for values from ('2028-01-01') to ('2029-01-01') "
        "partition by list (tenant_id)",
        "create table app.split_1 partition of app.split for values in (1)",
    )
    events(product, 1, 2, day="2027-05-03")
    events(product, 3, 4, day="2028-05-03")
    land(product)
    product.run(product.shared, "update app.events set day = day + 300", "delete from app.events where id = 4")
    events(product, 5, day="2027-05-03")
    land(product)


@pytest.mark.parametrize(
    "change",
    [
        "alter table app.events attach partition app.august for values from ('2026-08-01') to ('2026-09-01')",
        "alter table app.events detach partition app.events_may",
        "truncate app.events_may",
        "drop table app.events_may",
    ],
)
def test_rows_that_join_or_leave_with_their_partition_are_not_missed(product: Any, change: str) -> None:
    """The server tells of none of these in the stream of the root."""
    partitioned(product)
    events(product, 1, 2, day="2026-05-03")
    events(product, 3, day="2026-06-03")
    product.run(product.shared, "create table app.august (like app.events including all)")
    events(product, 8, 9, day="2026-08-03", into="app.august")
    land(product)
    events(product, 4, day="2026-05-04")
    product.run(product.shared, change)
    events(product, 5, day="2026-06-05")
    product.run(product.shared, "update app.events set note = 'later' where id = 3")
    land(product)


def test_a_partitioned_table_that_is_not_published_through_its_root_is_refused(product: Any) -> None:
    partitioned(product)
    product.run(product.shared, "alter publication tailrace set (publish_via_partition_root = false)")
    events(product, 1, day="2026-05-03")
    assert "events" in refused(product, "publish_via_partition_root = true")


def test_a_table_does_not_land_the_rows_of_those_that_inherit_it(product: Any) -> None:
    """A child is a table of its own: so the stream sees it, and so it is copied."""
    base = raw("base", {"id": "INTEGER", "note": "VARCHAR"}, ("id",))
    child = replace(base, name="child")
    add_table(product, base, "create table {0} (id int primary key, note text)")
    product.run(product.shared, "create table app.child (extra int, primary key (id)) inherits (app.base)")
    product.run(product.shared, "grant select on app.child to cdc", "alter publication tailrace add table app.child")
    product.run(product.shared, "insert into app.base values (1, 'base')", "insert into app.child values (2, 'child')")
    product.sync()
    live = "select id, note from raw_app.{} where _ab_cdc_deleted_at is null order by id"
    assert product.raw(live.format("base")) == [(1, "base")]
    product.run(product.shared, "update app.base set note = 'x'", "insert into app.child values (3, 'more')")
    product.sync()
    assert product.raw(live.format("base")) == [(1, "x")]
    product.tables = (*product.tables, child)
    product.sync()
    product.run(product.shared, "delete from app.base where id = 2", "insert into app.base values (4, 'base')")
    product.sync()
    assert product.raw(live.format("base")) == [(1, "x"), (4, "base")]
    assert product.raw(live.format("child")) == [(3, "more")]


# Names

LONG = "x" * 40 + '\u00fc\u4e2d "q\'uo.ted" T'  # 63 bytes with what is put before it


def padded(name: str) -> str:
    return name + "y" * (63 - len(name.encode()))


@pytest.mark.parametrize(
    ("schema", "name", "columns"),
    [
        (padded("t_" + LONG), padded(LONG), ("Id", padded("Some " + LONG), "select")),
        ("t_Mixed Case", "Order", ("order", "Mixed Case", 'with "quotes"')),
        ("t_a.b", "c.d", ("e.f", "g.h", ".")),
        ("t_MiXed", "things", ("_id", "_airbyte", "oid_")),
    ],
)
def test_names_of_any_case_length_and_sign_land(product: Any, schema: str, name: str, columns: Any) -> None:
    key, text, number = columns
    table = raw(name, {key: "INTEGER", text: "VARCHAR", number: "INTEGER"}, (key,), {text})
    ddl = f"create table {{0}} ({quote(key)} int primary key, {quote(text)} text, {quote(number)} int)"
    product.run(product.shared, f"create schema {quote(schema)}")
    product.schemas[product.shared].append(schema)
    add_table(product, table, ddl, schema=schema)
    where = f"{quote(schema)}.{quote(name)}"
    product.run(
        product.shared, f"insert into {where} select i, {LARGE.format('x')}, i from generate_series(1, 9) as s (i)"
    )
    land(product)
    product.run(
        product.shared,
        f"update {where} set {quote(number)} = 0 where {quote(key)} = 1",
        f"update {where} set {quote(key)} = 20 where {quote(key)} = 2",
        f"update {where} set {quote(text)} = 'x' where {quote(key)} = 3",
        f"delete from {where} where {quote(key)} > 5 and {quote(key)} < 9",
        f"insert into {where} values (30, 'y', 3)",
    )
    land(product)
    product.run(product.shared, f"truncate {where}", f"insert into {where} values (1, 'y', 3)")
    land(product)


@pytest.mark.parametrize(
    "name", ["_seq", "_op", "_deleted", "_moved", "_origin", "_old_id", "_unchanged_title", "rowid"]
)
def test_a_column_that_is_called_like_our_own_is_landed_or_refused(product: Any, name: str) -> None:
    columns = {"id": "INTEGER", "title": "VARCHAR", "big": "VARCHAR", name: "VARCHAR"}
    ddl = f"create table {{0}} (id int primary key, title text, big text, {quote(name)} text)"
    add_table(product, raw("odd", columns, ("id",)), ddl)
    product.run(
        product.shared, f"insert into app.odd values (1, 'a', {LARGE.format(1)}, 'mine'), (2, 'b', null, 'yours')"
    )
    if (error := attempt(product)) is not None:
        assert name in error
        return
    product.run(
        product.shared,
        f"update app.odd set title = 'c', {quote(name)} = 'ours' where id = 1",
        "update app.odd set id = 3 where id = 1",
        "delete from app.odd where id = 2",
        "insert into app.odd values (4, 'd', null, null)",
    )
    land(product)


@pytest.mark.parametrize(
    ("columns", "key"),
    [({"id": "INTEGER", "Id": "INTEGER"}, ("id",)), ({"id": "INTEGER", "_AIRBYTE_RAW_ID": "VARCHAR"}, ("id",))],
)
def test_names_that_raw_cannot_tell_apart_are_refused(product: Any, columns: dict[str, str], key: Any) -> None:
    kinds = {"INTEGER": "int", "VARCHAR": "text"}
    body = ", ".join(f"{quote(name)} {kinds[kind]}" for name, kind in columns.items())
    add_table(product, raw("twins", columns, key), f"create table {{0}} ({body}, primary key (id))")
    assert "twins" in refused(product, "twins")


def test_a_table_of_the_same_name_in_a_schema_that_is_not_captured_does_not_land(product: Any) -> None:
    product.create_schema(product.shared, "audit")  # published, but the configuration does not name it
    insert = f"insert into {{}}.items (tenant_id, id, title) values ('{TENANT}', gen_random_uuid(), 'x')"
    product.run(product.shared, insert.format("audit"), insert.format("app"))
    land(product)
    product.run(product.shared, insert.format("audit"), "update audit.items set n = 1", insert.format("t_acme"))
    product.run(product.shared, "truncate audit.items", "delete from audit.items")
    land(product)


# Namespaces that come while passes go on


def publish_tables_in_schemas(product: Any) -> None:
    for database, schemas in product.schemas.items():
        names = ", ".join(schemas)
        product.run(database, "drop publication tailrace", f"create publication tailrace for tables in schema {names}")


def fill(product: Any, schema: str, first: int, last: int) -> None:
    product.run(
        product.shared,
        f"insert into {schema}.items (tenant_id, id, title, note) select '{TENANT}', md5('{schema}' || i)::uuid, 't', "
        f"{LARGE.format('x')} from generate_series({first}, {last}) as s (i)",
        f"update {schema}.items set n = {last} where title = 't' and n is null",
    )


def by_tables(product: Any, schema: str) -> None:
    product.create_schema(product.shared, schema)


def by_schema(product: Any, schema: str) -> None:
    product.create_schema(product.shared, schema, publish=False)
    fill(product, schema, 100, 110)
    product.run(product.shared, f"alter publication tailrace add tables in schema {schema}")


@pytest.mark.parametrize("publish", [by_tables, by_schema])
def test_namespaces_that_are_made_while_passes_go_on_join(product: Any, publish: Callable[[Any, str], None]) -> None:
    if publish is by_schema:
        publish_tables_in_schemas(product)
    fill(product, "app", 1, 5)
    with product.passes_going_on():
        for number in range(4):
            schema = f"t_late_{number}"
            publish(product, schema)
            product.schemas[product.shared].append(schema)
            fill(product, schema, 1, 3)
            fill(product, "app", 10 * number + 10, 10 * number + 13)
            product.run(product.shared, f"delete from {schema}.items where id = md5('{schema}' || 2)::uuid")
    product.assert_equal()


def test_a_table_that_is_made_and_filled_in_a_published_schema_joins(product: Any) -> None:
    publish_tables_in_schemas(product)
    land(product)
    product.tables = (*product.tables, THINGS)
    for schema in ("app", "t_acme"):
        with product.server.connect(product.shared, autocommit=False) as connection:
            connection.execute(IDENTITIES["default"].format(f"{schema}.things"))
            connection.execute(f"grant select on {schema}.things to cdc")
            connection.execute(f"insert into {schema}.things values (1, {len(schema)}, 'a'), (2, {len(schema)}, 'b')")
        product.run(product.shared, f"update {schema}.things set n = 5 where title = 'a'")
    land(product)
    product.run(product.shared, "update app.things set title = 'c' where title = 'b'", "delete from t_acme.things")
    land(product)


def test_a_namespace_that_is_renamed_is_the_old_one_gone_and_a_new_one(product: Any) -> None:
    fill(product, "t_acme", 1, 5)
    land(product)
    product.run(product.shared, "alter schema t_acme rename to t_apex")
    product.schemas[product.shared] = ["app", "t_apex", "t_beta"]
    fill(product, "t_apex", 6, 9)
    land(product)


def test_a_value_of_another_session_is_never_landed_before_it_commits(product: Any) -> None:
    """Rows of a transaction that is open, and of one that is rolled back, are nobody's."""
    land(product)
    with psycopg.connect(product.server.superuser_dsn(product.shared)) as session:
        session.execute(f"insert into app.items (tenant_id, id) values ('{TENANT}', gen_random_uuid())")
        land(product)
        session.rollback()
        session.execute(f"insert into app.items (tenant_id, id) values ('{TENANT}', gen_random_uuid())")
        land(product)
        session.commit()
        land(product)
