"""Only what changed is found and written, whoever else wrote there, and values survive the way to Postgres."""

# ruff: noqa: S608 - names are the test's own

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from demo.postgres import EmbeddedPostgres
from serving import rowcopy
from serving.contract import Column
from serving.homes import Home
from serving.rollback import rollback
from tests.serving.conftest import FEATURES, USAGE, Product

TYPES = {
    "id": ("uuid", "case when r % 7 <> 0 then uuid()::varchar end"),
    "day": ("date", "date '1999-05-01' + (r * 37)::int"),
    "small": ("smallint", "(r - 50)::smallint"),
    "whole": ("integer", "(r * 100)::integer"),
    "big": ("bigint", "(r - 3) * 92233720368547758"),
    "huge": ("numeric(38,0)", "((r - 5)::hugeint * 123456789012345678901234567890)::hugeint"),
    "cost": ("numeric(18,6)", "case when r % 3 <> 0 then (r * 12345.678901 - 500000)::decimal(18, 6) end"),
    "share": ("numeric(4,4)", "(r * 0.0001 - 0.005)::decimal(4, 4)"),
    "wide": ("numeric(30,5)", "(r::hugeint * 1234567890123456789 - 7)::decimal(30, 5)"),
    "fine": ("numeric(18,18)", "(r * 0.001)::decimal(18, 18)"),
    "flag": ("boolean", "case r % 3 when 0 then null else r % 3 = 1 end"),
    "ratio": ("double precision", "case when r = 4 then 'nan'::double else r / 3.0 end"),
    "seen": ("timestamp with time zone", "timestamptz '1969-12-31 23:59:59.999999+00' + to_seconds(r * 1e7)"),
    "said": ("text", "case when r % 4 = 1 then null when r % 4 = 2 then '' else repeat('é\"\\', (r % 9)::int) end"),
    "more": ("jsonb", "case when r % 2 = 0 then '{\"a\": [1, null]}' end"),
}


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Any:
    with psycopg.connect(postgres.superuser_dsn(), options="-c timezone=UTC") as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_every_type_and_null_arrives_as_it_was(database: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowcopy, "_MATRIX_BYTES", 4096)  # several pieces
    columns = tuple(Column(name=name, type=kind) for name, (kind, _) in TYPES.items())
    database.execute(f"create temp table t ({', '.join(f'{name} {kind}' for name, (kind, _) in TYPES.items())})")
    with duckdb.connect() as warehouse:
        warehouse.execute("set timezone = 'UTC'")
        made = ", ".join(f"{value} as {name}" for name, (_, value) in TYPES.items())
        warehouse.execute(f"create table t as select {made} from range({rows}) as made (r)")
        relation = warehouse.sql(f"select {rowcopy.select_list(columns)} from t")
        with database.cursor() as cursor:
            with rowcopy.ahead(rowcopy.batches(relation), columns) as lines:
                assert rowcopy.copy_in(cursor, sql.Identifier("t"), columns, lines) == rows
            expected = warehouse.execute(
                "select * replace (huge::decimal(38, 0) as huge, id::uuid as id, seen::timestamp as seen, "
                "more::varchar as more) from t order by day"
            ).fetchall()
            found = database.execute(
                "select id, day, small, whole, big, huge, cost, share, wide, fine, flag, ratio, "
                "seen at time zone 'UTC', said, more::text from t order by day"
            ).fetchall()
            assert [tuple(map(str, row)) for row in found] == [tuple(map(str, row)) for row in expected]
            plain = tuple(column for column in columns if column.type != "jsonb")  # which has a spelling of its own
            with rowcopy.text_out(cursor, sql.Identifier("t"), plain) as reader:
                warehouse.register("back", reader)
                names = ", ".join(f"{rowcopy.typed(column)} as {column.name}" for column in plain)
                query = f"(select {names} from {{}} except select {names} from {{}})"
                warehouse.execute(f"create table b as select {names} from back")
            assert warehouse.execute(query.format("t", "b")).fetchall() == []
            assert warehouse.execute("select count(*) from b").fetchone() == (rows,)


@pytest.mark.parametrize("rows", [0, 1, 70])
def test_arrays_of_any_length_go_and_come_back_element_by_element(database: Any, rows: int) -> None:
    kinds = {"ids": "uuid[]", "days": "date[]", "hashes": "bigint[]"}
    columns = tuple(Column(name=name, type=kind) for name, kind in kinds.items())
    database.execute("create temp table t (ids uuid[], days date[], hashes bigint[])")
    with duckdb.connect() as warehouse:
        warehouse.execute(
            "create table t as select list(unhex(replace(uuid()::varchar, '-', ''))) as ids, "
            "list(date '1999-12-30' + n::int) as days, list((n - 2) * 92233720368547758) as hashes "
            f"from range({rows}) as made (r), range(40) as elements (n) where n <= r * 7 % 31 group by r"
        )
        with database.cursor() as cursor:
            with rowcopy.ahead(rowcopy.batches(warehouse.sql("from t")), columns) as lines:
                assert rowcopy.copy_in(cursor, sql.Identifier("t"), columns, lines) == rows
            elements = tuple(Column(name=name, type=kind.removesuffix("[]")) for name, kind in kinds.items())
            back = rowcopy.arrays_out(cursor, sql.SQL("select ids, days, hashes from t"), elements)
        warehouse.register("back", back)
        rows_of_t = "select unnest(ids) as ids, unnest(days) as days, unnest(hashes) as hashes from t"
        for one, other in ((rows_of_t, "from back"), ("from back", rows_of_t)):
            assert warehouse.execute(f"({one}) except all ({other})").fetchall() == []
        assert warehouse.execute("select count(distinct ids) = count(*) from back").fetchone() == (True,)


def test_lines_made_ahead_come_in_order_and_fail_where_they_are_read() -> None:
    columns = (Column(name="n", type="smallint"),)

    def source() -> Iterator[pa.RecordBatch]:
        for number in range(3):
            yield pa.record_batch([[number]], names=["n"])
        raise ValueError("no more")

    with rowcopy.ahead(source(), columns) as lines:
        assert [next(lines)[-1] for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="no more"):
            next(lines)
    with rowcopy.ahead([], columns) as lines:
        assert list(lines) == []


def test_values_that_change_places_within_a_slice_are_a_change(product: Product) -> None:
    tenant = product.tenants["acorn"].id

    def publish(run: int, **events: int) -> int:
        with duckdb.connect(str(product.warehouse)) as warehouse:
            for feature, figure in events.items():
                warehouse.execute(
                    f"update rollups.{FEATURES} set events = ? "
                    "where tenant_id = ? and day = '2026-01-02' and feature = ?",
                    [figure, tenant, feature],
                )
        return product.publish(run).written

    publish(1)
    assert publish(2, api=5, workflows=6) == 2
    assert publish(3, api=6, workflows=5) == 2


@pytest.mark.parametrize(("tamper", "mended"), [
    ("update {table} set comments = comments + 1 where day = '2026-01-03' and tenant_id = %(tenant)s", 1),
    ("delete from {table} where tenant_id = %(tenant)s", 1),
    ("insert into {table} (tenant_id, day, active_users, active_users_7d, active_users_28d) "
     "values (%(tenant)s, '2020-02-02', 9, 9, 9)", 1),
    ("update tenant_analytics_private.slices set hashes[2] = 5 "
     "where rollup = '" + USAGE + "' and %(tenant)s = any (tenants)", 0),
    ("delete from tenant_analytics_private.slices where %(tenant)s = any (tenants)", 0),
])  # fmt: skip
def test_what_somebody_else_wrote_is_found_and_mended_when_asked_to_verify(
    product: Product, tamper: str, mended: int
) -> None:
    product.publish(1)
    tenant = product.tenants["birch"].id
    with product.connect("postgres") as admin:
        all_rows = f"select * from tenant_analytics.{USAGE} order by 1, 2"
        right = admin.execute(all_rows).fetchall()
        admin.execute(tamper.format(table=f"tenant_analytics.{USAGE}"), {"tenant": tenant})
        report = product.publish(1, verify=True)
        assert admin.execute(all_rows).fetchall() == right
    assert report.homes[-2].mended.get(USAGE, 0) >= mended
    before = product.written_so_far()
    again = product.publish(1, verify=True)
    assert not any(each.mended or each.changed for each in again.homes)
    assert product.written_so_far() == before


def test_rows_published_before_there_were_hashes_are_taken_over(product: Product) -> None:
    product.publish(1)
    with product.connect("postgres") as admin:
        admin.execute("delete from tenant_analytics_private.slices")
        admin.execute(
            f"insert into tenant_analytics.{USAGE} (tenant_id, day, active_users, active_users_7d, active_users_28d) "
            "values (gen_random_uuid(), '2020-02-02', 1, 1, 1)"
        )
    report = product.publish(1)
    assert (report.written, report.deleted) == (0, 1)


def test_slices_kept_a_row_a_tenant_and_month_are_regrouped_and_still_say_what_stands(product: Product) -> None:
    product.publish(1)
    product.build(2)
    product.publish(2)
    for home in product.homes:
        with product.connect("postgres", home.database) as admin, admin.transaction():
            _keep_slices_as_once(admin, home)
    before = [written for (_, table), written in product.written_so_far().items() if table in (USAGE, FEATURES)]
    report = product.publish(2)
    assert all("regrouped slices" in each.migrations and not each.changed for each in report.homes)
    after = [written for (_, table), written in product.written_so_far().items() if table in (USAGE, FEATURES)]
    assert after == before, "nothing of what tenants read was written"
    rollback(product.settings)
    assert product.seen(product.tenants["acorn"]) == {("run 1", 1)}
    report = product.publish(2, verify=True)
    assert not any(each.mended for each in report.homes)


def _keep_slices_as_once(admin: Any, home: Home) -> None:
    """Bring a home's ``slices`` and ``undo_slices`` back to the shape they once had."""
    for table, own in (("slices", "hash"), ("undo_slices", "version")):
        names = {"table": home.own(table), "own": sql.Identifier(own), "name": sql.Identifier(table)}
        for statement in (
            "create temporary table former on commit drop as select rollup, slice.tenant, "
            "date_trunc('month', slice.day::timestamp)::date as part, "
            "max(kept.{own}) as own, array_agg(slice.day) as days, array_agg(slice.hash) as hashes "
            "from {table} as kept cross join unnest(tenants, days, hashes) as slice (tenant, day, hash) "
            "group by rollup, slice.tenant, date_trunc('month', slice.day::timestamp){version}",
            "drop table {table}",
            "set local role tailrace_owner",
            "create table {table} ({own} bigint not null, rollup text not null, tenant_id uuid not null, "
            "part date not null, days date[] not null, hashes bigint[] not null)",
            "alter table {table} enable row level security",
            "alter table {table} force row level security",
            "create policy publisher_writes on {table} to tailrace_publisher using (true) with check (true)",
            "grant select, insert, update, delete on {table} to tailrace_publisher",
            "reset role",
            "insert into {table} ({own}, rollup, tenant_id, part, days, hashes) "
            "select own, rollup, tenant, part, days, hashes from former",
            "drop table former",
        ):
            version = sql.SQL(", version" if own == "version" else "")
            admin.execute(sql.SQL(statement).format(version=version, **names))


def test_publications_made_before_versions_could_be_put_back_are_extended(product: Product, tmp_path: Path) -> None:
    product.publish(1)
    with product.connect("postgres") as admin:
        admin.execute("alter policy tenant_isolation on tenant_analytics.publications using (true)")
        admin.execute("drop table tenant_analytics.holds cascade")  # windows were not there either
        for column in ("tenant_id", "restores", "kept", "made_by"):
            admin.execute(f"alter table tenant_analytics.publications drop column {column} cascade")
        admin.execute(
            "alter table tenant_analytics.publications alter version add generated always as identity (start 2)"
        )
    product.build(2)
    assert "extended publications" in product.publish(2).homes[-2].migrations
    assert product.seen(product.tenants["acorn"]) == {("run 2", 2)}
