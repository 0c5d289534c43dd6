"""Readers are never stopped, and what stands is never half: whatever dies, and whoever publishes beside."""

# ruff: noqa: S608 - names are the test's own

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from demo.postgres import EmbeddedPostgres
from serving import migrate
from serving import rollback as rolling
from serving.homes import Home
from settings import TailraceError
from tests.serving.conftest import FEATURES, USAGE, Product, new_product, read_version, rollup_models, write_manifest

QUERY = f"select count(*), min(comments), max(comments) from tenant_analytics.{USAGE}"


def change_type(product: Product) -> None:
    models = rollup_models()
    next(c for m in models if m["name"] == USAGE for c in m["columns"] if c["name"] == "comments").update(
        data_type="decimal(20, 2)"
    )
    write_manifest(product.manifest, models)


def open_reader(product: Product, slug: str) -> Any:
    """A repeatable-read transaction whose moment is now."""
    reader = product.connect("tailrace_reader", autocommit=False)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    reader.execute("select set_config('app.current_tenant_id', %s, true)", [product.tenants[slug].id])
    return reader


def test_reader_amid_a_transaction_keeps_its_version_through_publish_and_rollback(product: Product) -> None:
    product.publish(1)
    with open_reader(product, "acorn") as reader:
        before = reader.execute(QUERY).fetchone()
        product.build(2)
        product.publish(2)
        assert reader.execute(QUERY).fetchone() == before
        rolling.rollback(product.settings)
        assert reader.execute(QUERY).fetchone() == before
        figures = reader.execute(f"select distinct events from tenant_analytics.{FEATURES}").fetchall()
        assert figures == [(1,)], "a table that it had not touched before is of the same version"


def test_new_column_waits_for_a_reader_and_no_reader_waits_for_it(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    product.publish(1)
    models = rollup_models()
    next(m for m in models if m["name"] == USAGE)["columns"].append(
        {"name": "remark", "data_type": "varchar", "description": "New."}
    )
    write_manifest(product.manifest, models)
    product.build(2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(f"alter table rollups.{USAGE} add column remark varchar default 'x'")
    monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 0.5)
    with open_reader(product, "acorn") as reader:
        reader.execute(QUERY)
        with pytest.raises(TailraceError, match="adding a column: transactions that read"):
            product.publish(2)
        assert product.seen(product.tenants["birch"]) == {("run 1", 1)}, "others read on"
    product.publish(2)
    assert product.seen(product.tenants["birch"]) == {("run 2", 2)}


def test_changed_type_changes_places_once_readers_of_the_old_are_through(product: Product) -> None:
    product.publish(1)
    product.build(2)
    change_type(product)
    failed: list[BaseException] = []

    def publish() -> None:
        try:
            product.publish(2)
        except BaseException as error:
            failed.append(error)

    with open_reader(product, "acorn") as reader:
        old = reader.execute(QUERY).fetchone()
        publisher = threading.Thread(target=publish)
        publisher.start()
        until = time.monotonic() + 3
        while time.monotonic() < until and publisher.is_alive():
            assert reader.execute(QUERY).fetchone() == old
            assert product.seen(product.tenants["birch"]) == {("run 1", 1)}, "others read on, and the old version"
    publisher.join(timeout=60)
    assert failed == []
    assert product.seen(product.tenants["acorn"]) == {("run 2", 2)}


def test_transaction_begun_before_a_changed_type_sees_one_version_though_it_touched_no_table(product: Product) -> None:
    product.publish(1)
    product.build(2)
    change_type(product)
    tenant = product.tenants["acorn"]
    with open_reader(product, "acorn") as reader:
        assert "replaced " + USAGE in product.publish(2).homes[-2].migrations
        run, figures = (
            reader.execute("select run_id from tenant_analytics.publications order by version desc limit 1").fetchone(),
            reader.execute(
                f"select distinct workflow_runs from tenant_analytics.{USAGE} "
                f"union select distinct events from tenant_analytics.{FEATURES}"
            ).fetchall(),
        )
    assert (run, figures) in [(("run 1",), [(1,)]), (("run 2",), [(2,)])], tenant.slug


@pytest.mark.operations
def test_killed_while_tables_change_places_leaves_the_old_and_the_next_finishes(product: Product) -> None:
    for version, point in enumerate(["publish_after_load", "publish_after_first_table", "publish_before_commit"], 2):
        product.publish(1)
        change_type(product)
        with duckdb.connect(str(product.warehouse)) as warehouse:
            warehouse.execute(f"update rollups.{USAGE} set workflow_runs = {version}, comments = {version}")
            warehouse.execute(f"update rollups.{FEATURES} set events = {version}")
        dying = product.publish_in_a_process(version, failpoint=point)
        assert dying.wait(timeout=60) == -9
        assert product.seen(product.tenants["acorn"]) == {("run 1", 1)}
        with product.connect("postgres") as admin:
            strays = "select count(*) from pg_class where relname like 'next\\_%'"
            assert admin.execute(strays).fetchone() == (0,)
        product.publish(version)
        assert product.seen(product.tenants["acorn"]) == {(f"run {version}", version)}
        if version < 4:
            write_manifest(product.manifest, rollup_models())
            product.build(1)


def test_two_publishers_at_once_both_finish_and_one_version_stands(product: Product) -> None:
    product.publish(1)
    product.build(2)
    both = [product.publish_in_a_process(2) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    assert all(product.seen(tenant) == {("run 2", 2)} for tenant in product.tenants.values())
    with product.connect("tailrace_publisher") as connection:
        versions = connection.execute("select version from tenant_analytics.publications order by 1").fetchall()
    assert versions == [(1,), (2,)], "the second found nothing to change"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Product]:
    """A product on a server that a test may kill."""
    with EmbeddedPostgres(tmp_path / "server") as server, new_product(server, tmp_path) as made:
        yield made


@pytest.mark.operations
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.35, 0.5, 0.8, 1.2])
def test_killed_postgres_comes_back_with_one_version_whole(own_server: Product, seconds: float) -> None:
    own_server.publish(1)
    own_server.build(2)
    publishing = own_server.publish_in_a_process(2)
    with own_server.connect("postgres", "postgres") as admin:
        until = time.monotonic() + 30
        busy = "select count(*) from pg_stat_activity where usename = 'tailrace_publisher'"
        while not admin.execute(busy).fetchone()[0] and publishing.poll() is None:
            assert time.monotonic() < until
    time.sleep(seconds / 4)
    own_server.server.kill()
    _, complaint = publishing.communicate(timeout=60)
    assert publishing.returncode in (0, 1)
    assert len(complaint.strip().splitlines()) <= 1
    own_server.server.start()
    for tenant in own_server.tenants.values():
        assert own_server.seen(tenant) in ({("run 1", 1)}, {("run 2", 2)})
    own_server.publish(2, verify=True)
    assert all(own_server.seen(tenant) == {("run 2", 2)} for tenant in own_server.tenants.values())


@pytest.mark.operations
def test_hundred_publishes_and_rollbacks_are_never_seen_mixed_and_nobody_deadlocks(product: Product) -> None:
    product.publish(1)
    stop, mixed, answers = threading.Event(), [], []
    tenants = [each for each in product.tenants.values() if product.home(each) == Home(product.shared)]
    joined = (
        f"select distinct usage.workflow_runs, features.events from tenant_analytics.{USAGE} as usage "
        f"join tenant_analytics.{FEATURES} as features using (tenant_id, day)"
    )

    def read(number: int) -> None:
        tenant = tenants[number % len(tenants)]
        with product.connect("tailrace_reader") as reader:
            while not stop.is_set():
                versions = read_version(reader, tenant.id)
                reader.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
                with reader.transaction():
                    reader.execute("select set_config('app.current_tenant_id', %s, true)", [tenant.id])
                    single = set(reader.execute(joined).fetchall())
                answers.append(versions)
                if len(versions) != 1 or any(run != f"run {figure}" for run, figure in versions):
                    mixed.append(versions)
                if len(single) != 1 or any(one != other for one, other in single):
                    mixed.append(single)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for reader in readers:
        reader.start()
    for version in range(2, 102):
        product.build(version)
        product.publish(version)
        if version % 10 == 0:
            rolling.rollback(product.settings)
            rolling.release(product.settings)
        if version % 25 == 0:
            change_type(product) if version % 50 else write_manifest(product.manifest, rollup_models())
    stop.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    assert len({run for each in answers for run, _ in each}) > 50, "the readers were there"
    with product.connect("postgres") as admin:
        found = admin.execute("select deadlocks from pg_stat_database where datname = current_database()")
        assert found.fetchone() == (0,)
