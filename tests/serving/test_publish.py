"""Publishing: whole or not at all, only differences, whatever dies; refused when it would harm."""

from __future__ import annotations

import json
import signal
import threading
import time
from datetime import timedelta

import duckdb
import psycopg
import pytest

from serving.session import ADVISORY_LOCK
from settings import TailraceError
from tests.serving.conftest import (
    AS_OF,
    DAYS,
    FEATURE_NAMES,
    FEATURES,
    USAGE,
    Product,
    read_version,
    rollup_models,
    write_manifest,
)
from warehouse.failpoints import PUBLISH_POINTS

ROWS_A_TENANT = DAYS * (1 + len(FEATURE_NAMES))


def test_each_tenants_rollups_reach_its_home_and_no_other(product: Product) -> None:
    report = product.publish(1)
    assert [each.home for each in report.homes] == product.homes
    for home in product.homes:
        with product.connect("tailrace_publisher", home.database) as connection:
            ids = {str(row[0]) for row in connection.execute(f"select tenant_id from {home.schema}.{USAGE}")}  # noqa: S608
        assert ids == {tenant.id for tenant in product.tenants.values() if product.home(tenant) == home}
    assert report.rows == report.written == ROWS_A_TENANT * len(product.tenants)
    assert all(product.seen(tenant) == {("run 1", 1)} for tenant in product.tenants.values())


def test_published_values_equal_the_warehouses(product: Product) -> None:
    product.publish(1)
    tenant = product.tenants["acorn"]
    with duckdb.connect(str(product.warehouse)) as warehouse:
        expected = warehouse.execute(f"select * from rollups.{USAGE} where tenant_id = ? order by day", [tenant.id])  # noqa: S608
        rows = expected.fetchall()
    with product.connect("tailrace_publisher") as connection:
        found = connection.execute(f"select * from tenant_analytics.{USAGE} where tenant_id = %s order by day",  # noqa: S608
                                   [tenant.id]).fetchall()  # fmt: skip
    assert [(str(row[0]), *row[1:]) for row in found] == rows


def test_unchanged_publish_writes_nothing(product: Product) -> None:
    first = product.publish(1)
    before = product.written_so_far()
    again = product.publish(1)
    assert product.written_so_far() == before
    assert (again.written, again.deleted, again.rows) == (0, 0, first.rows)
    assert [each.version for each in again.homes] == [each.version for each in first.homes]


def test_same_content_at_a_later_time_moves_the_stamp_and_keeps_version_and_rows(product: Product) -> None:
    first = product.publish(1)
    before = product.written_so_far()
    later = product.publish(1, as_of=AS_OF + timedelta(hours=1))
    after = product.written_so_far()
    assert {table for table in after if after[table] != before[table]} == {
        (home, "publications") for home in product.homes
    }
    assert [each.version for each in later.homes] == [each.version for each in first.homes]
    with product.connect("tailrace_publisher") as connection:
        stamp = connection.execute("select as_of from tenant_analytics.publications order by version desc limit 1")
        assert stamp.fetchone() == (AS_OF + timedelta(hours=1),)


def test_only_changed_vanished_and_new_rows_are_written(product: Product) -> None:
    product.publish(1)
    tenant = product.tenants["birch"].id
    new_day = "date '2026-02-01'"
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(
            f"update rollups.{USAGE} set comments = 77 where tenant_id = ? and day = '2026-01-02'",  # noqa: S608
            [tenant],
        )
        warehouse.execute(
            f"update rollups.{USAGE} set ai_cost_usd = null where tenant_id = ? and day = '2026-01-03'",  # noqa: S608
            [tenant],
        )
        warehouse.execute(f"delete from rollups.{USAGE} where tenant_id = ? and day = '2026-01-04'", [tenant])  # noqa: S608
        warehouse.execute(f"insert into rollups.{USAGE} select * replace ({new_day} as day) from rollups.{USAGE} "  # noqa: S608
                          "where tenant_id = ? and day = '2026-01-05'", [tenant])  # fmt: skip
    report = product.publish(2)
    tables = report.homes[-2].tables
    assert (tables[USAGE].written, tables[USAGE].deleted) == (3, 1)
    assert (tables[FEATURES].written, tables[FEATURES].deleted) == (0, 0)
    assert not report.homes[-1].changed, "the silo had nothing new"


def test_unattributed_rows_are_counted_and_not_published(product: Product) -> None:
    product.build(1, unattributed=3)
    report = product.publish(1)
    none = {model["name"]: 0 for model in rollup_models()}
    assert report.unattributed == none | {USAGE: 3, FEATURES: 3 * len(FEATURE_NAMES)}
    assert report.rows == ROWS_A_TENANT * len(product.tenants)


def test_rows_of_another_regions_tenant_stop_the_publish(product: Product) -> None:
    product.publish(1)
    product.build(2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute("update marts.dim_tenants set region = 'eu' where slug = 'birch'")
    with pytest.raises(TailraceError, match="belongs to region eu"):
        product.publish(2)
    assert product.seen(product.tenants["acorn"]) == {("run 1", 1)}


def test_rows_of_an_unknown_tenant_stop_the_publish(product: Product) -> None:
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute("delete from marts.dim_tenants where slug = 'birch'")
    with pytest.raises(TailraceError, match=f"1 tenant.* with {DAYS * len(FEATURE_NAMES)} rows"):
        product.publish(1)


def test_deleted_tenants_rollups_leave_the_product(product: Product) -> None:
    product.publish(1)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute("update marts.dim_tenants set is_deleted = true, region = null where slug = 'birch'")
    assert product.publish(2).deleted == ROWS_A_TENANT
    assert product.seen(product.tenants["birch"]) == set()


def test_tenant_that_moves_into_a_silo_leaves_the_shared_tables(product: Product) -> None:
    moved = product.tenants.pop("deep-vault")
    product.tenants["deep-vault"] = type(moved)(moved.id, moved.name, moved.slug, "pool")
    product.build(1)
    product.publish(1)
    assert product.seen(product.tenants["deep-vault"]) == {("run 1", 1)}
    product.tenants["deep-vault"] = moved
    product.build(2)
    product.publish(2)
    assert product.seen(moved) == {("run 2", 2)}
    with product.connect("tailrace_publisher") as connection:
        ids = {str(row[0]) for row in connection.execute(f"select tenant_id from tenant_analytics.{USAGE}")}  # noqa: S608
    assert moved.id not in ids


def test_readers_during_publishes_see_one_version_at_a_time(product: Product) -> None:
    product.publish(1)
    tenant, last = product.tenants["acorn"], 8
    stop, mixed, seen = threading.Event(), [], set()

    def read() -> None:
        with product.connect("tailrace_reader") as reader:
            while not stop.is_set():
                versions = read_version(reader, tenant.id)
                seen.update(versions)
                if len(versions) != 1 or any(run != f"run {figure}" for run, figure in versions):
                    mixed.append(versions)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in range(2, last + 1):
        product.build(version)
        product.publish(version)
    stop.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    assert len(seen) > 1, "the readers overlapped with publishes"


TELLING = ("publish_after_load", "publish_before_commit")


@pytest.mark.parametrize("point", [
    pytest.param(point, marks=[] if point in TELLING else pytest.mark.operations)
    for point in PUBLISH_POINTS
    if point.startswith("publish") and point != "publish_before_drop"
])  # fmt: skip
def test_killed_publisher_leaves_the_old_version_whole_and_the_next_finishes(product: Product, point: str) -> None:
    product.publish(1)
    models = rollup_models()
    models[0]["columns"].append({"name": "remark", "data_type": "varchar", "description": "New in version 2."})
    write_manifest(product.manifest, models)
    product.build(2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(f"alter table rollups.{models[0]['name']} add column remark varchar")
    dying = product.publish_in_a_process(2, failpoint=point)
    assert dying.wait(timeout=60) == -signal.SIGKILL
    committed = {("run 2", 2)} if point == "publish_after_commit" else {("run 1", 1)}
    assert product.seen(product.tenants["cedar"]) == committed, "the first home that is published"
    assert product.seen(product.tenants["acorn"]) == product.seen(product.tenants["deep-vault"]) == {("run 1", 1)}
    product.publish(2)
    assert all(product.seen(tenant) == {("run 2", 2)} for tenant in product.tenants.values())


def test_killed_first_publish_shows_nothing_and_the_next_finishes(product: Product) -> None:
    dying = product.publish_in_a_process(1, failpoint="publish_before_commit")
    assert dying.wait(timeout=60) == -signal.SIGKILL
    with product.connect("postgres") as connection:
        assert connection.execute("select to_regclass('tenant_analytics.publications')").fetchone() == (None,)
    product.publish(1)
    assert product.seen(product.tenants["acorn"]) == {("run 1", 1)}


def test_cut_connection_leaves_the_old_version_and_says_so_in_one_line(product: Product) -> None:
    product.publish(1)
    product.build(2)
    acorn = product.tenants["acorn"]
    with product.connect("postgres", autocommit=False) as blocker, product.connect("postgres") as admin:
        # Readers go on; the publisher, loaded and about to write, has to wait.
        blocker.execute(f"lock table tenant_analytics.{USAGE} in share mode")
        waiting = product.publish_in_a_process(2)
        stuck = (
            "select pid from pg_stat_activity "
            "where usename = 'tailrace_publisher' and datname = %s and wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 30
        while not (found := admin.execute(stuck, [product.shared]).fetchone()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert product.seen(acorn) == {("run 1", 1)}
        admin.execute("select pg_terminate_backend(%s)", [found[0]])
        _, complaint = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert len(complaint.strip().splitlines()) == 1
    assert "its last version stands" in complaint
    product.publish(2)
    assert product.seen(acorn) == {("run 2", 2)}


def test_second_publisher_waits_for_the_first_and_gives_up_in_one_line(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.session._SESSION", "-c lock_timeout=200")
    product.publish(1)
    with product.connect("tailrace_publisher", autocommit=False) as other:
        other.execute("select pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        with pytest.raises(TailraceError, match="another publish"):
            product.publish(1)
    product.publish(1)


def test_added_column_is_added_in_place_and_its_comment_follows_the_description(product: Product) -> None:
    product.publish(1)
    models = rollup_models()
    models[0]["columns"].append({"name": "remark", "data_type": "varchar", "description": "First words."})
    write_manifest(product.manifest, models)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(f"alter table rollups.{models[0]['name']} add column remark varchar default 'x'")
    assert f"added {models[0]['name']}.remark" in product.publish(2).homes[-2].migrations
    models[0]["columns"][-1]["description"] = "Other words, it's better."
    write_manifest(product.manifest, models)
    product.publish(3)
    with product.connect("tailrace_publisher") as connection:
        query = (
            "select col_description(attrelid, attnum) from pg_attribute "
            "where attrelid = to_regclass(%s) and attname = 'remark'"
        )
        table = f"tenant_analytics.{models[0]['name']}"
        assert connection.execute(query, [table]).fetchone() == ("Other words, it's better.",)


def test_changed_type_replaces_the_table_filled_and_isolated(product: Product) -> None:
    product.publish(1)
    manifest = json.loads(product.manifest.read_text())
    manifest["nodes"][f"model.tailrace.{USAGE}"]["columns"]["comments"]["data_type"] = "decimal(20, 2)"
    product.manifest.write_text(json.dumps(manifest))
    report = product.publish(2)
    assert f"replaced {USAGE}" in report.homes[-2].migrations
    assert product.seen(product.tenants["acorn"]) == {("run 2", 1)}
    with product.connect("tailrace_reader") as reader:
        assert reader.execute(f"select count(*) from tenant_analytics.{USAGE}").fetchone() == (0,)  # noqa: S608


@pytest.mark.parametrize("statement", [
    "alter table tenant_analytics.{table} disable row level security",
    "alter table tenant_analytics.{table} no force row level security",
    "create policy wide_open on tenant_analytics.{table} using (true)",
])  # fmt: skip
def test_table_whose_isolation_was_weakened_is_not_published_to(product: Product, statement: str) -> None:
    product.publish(1)
    with product.connect("postgres") as admin:
        admin.execute(statement.format(table=USAGE))
    with pytest.raises(TailraceError, match="row-level security"):
        product.publish(1)


@pytest.mark.parametrize(("spoil", "complaint"), [
    (lambda model: model["config"]["contract"].update(enforced=False), "contract is not enforced"),
    (lambda model: model.update(constraints=[]), "primary key"),
    (lambda model: model["constraints"][0].update(columns=["day", "tenant_id"]), "primary key"),
    (lambda model: model["columns"]["comments"].update(data_type="blob"), "column comments has the type blob"),
])  # fmt: skip
def test_rollup_without_a_sound_contract_is_refused_in_one_line(
    product: Product, spoil: object, complaint: str
) -> None:
    manifest = json.loads(product.manifest.read_text())
    spoil(manifest["nodes"][f"model.tailrace.{USAGE}"])  # type: ignore[operator]
    product.manifest.write_text(json.dumps(manifest))
    with pytest.raises(TailraceError, match=complaint):
        product.publish(1)


def test_rollup_that_breaks_its_key_leaves_the_old_version(product: Product) -> None:
    product.publish(1)
    product.build(2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(f"insert into rollups.{USAGE} select * from rollups.{USAGE}")  # noqa: S608
    with pytest.raises(TailraceError, match="breaks its contract"):
        product.publish(2)
    assert product.seen(product.tenants["acorn"]) == {("run 1", 1)}


def test_missing_silo_database_is_named(product: Product) -> None:
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute("update marts.dim_tenants set slug = 'nowhere' where slug = 'deep-vault'")
    with pytest.raises(TailraceError, match="_nowhere does not exist"):
        product.publish(1)


def test_wrong_credential_is_one_line_without_the_password(product: Product) -> None:
    dsn = f"postgresql://tailrace_publisher:hunter2@127.0.0.1:{product.server.port}/{product.shared}"
    serving = product.settings.serving.model_copy(update={"publisher_dsn": dsn})
    product.settings = product.settings.model_copy(update={"serving": serving})
    with pytest.raises(TailraceError) as caught:
        product.publish(1)
    assert "refused" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_publisher_cannot_read_the_products_own_tables(product: Product) -> None:
    with product.connect("tailrace_publisher") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from app.users")
        connection.execute("set role tailrace_owner")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from app.users")
