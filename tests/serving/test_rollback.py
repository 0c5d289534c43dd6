"""The version before comes back whole, for all or for one tenant, stays until released, and is forgotten on demand."""

# ruff: noqa: S608 - names are the test's own

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from orchestration.commands.publish import run
from serving import rollback as rolling
from serving import versions
from settings import TailraceError
from tests.serving.conftest import AS_OF, FEATURES, USAGE, Product, rollup_models, write_manifest

HISTORY = [f"undo_{USAGE}", f"undo_{FEATURES}", "undo_slices"]


def publish(product: Product, version: int) -> Any:
    product.build(version)
    return product.publish(version, as_of=AS_OF + timedelta(hours=version))


def contents(product: Product) -> dict[tuple[str, str], list[Any]]:
    """Every published row of both rollups, by home and table."""
    found = {}
    for home in product.homes:
        with product.connect("tailrace_publisher", home.database) as connection:
            for table in (USAGE, FEATURES):
                found[home.name, table] = connection.execute(
                    f"select * from {home.schema}.{table} order by 1, 2, 3"
                ).fetchall()
    return found


def stamp(product: Product, slug: str) -> tuple[str, Any]:
    """Run and as_of that a tenant reads."""
    tenant = product.tenants[slug]
    home = product.home(tenant)
    with product.connect("tailrace_reader", home.database) as reader:
        reader.execute("select set_config('app.current_tenant_id', %s, false)", [tenant.id])
        return reader.execute(
            f"select run_id, as_of from {home.schema}.publications order by version desc limit 1"
        ).fetchone()


def test_rollback_brings_every_row_back_in_every_database_and_the_stamp_with_it(product: Product) -> None:
    publish(product, 1)
    before = contents(product)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        # Changed, vanished and new slices.
        warehouse.execute(f"update rollups.{USAGE} set comments = 77")
        warehouse.execute(f"delete from rollups.{USAGE} where day = '2026-01-04'")
        warehouse.execute(
            f"insert into rollups.{FEATURES} select * replace (date '2026-03-01' as day) "
            f"from rollups.{FEATURES} where day = '2026-01-05'"
        )
    product.publish(2, as_of=AS_OF + timedelta(hours=2))
    assert contents(product) != before
    restored = rolling.rollback(product.settings)
    assert {each.home for each in restored} == set(product.homes)
    assert contents(product) == before
    assert {stamp(product, slug) for slug in product.tenants} == {("run 1", AS_OF + timedelta(hours=1))}
    assert all((each.version, each.restores) == (3, 1) for each in restored)


def test_what_was_rolled_back_stays_and_says_so_until_it_is_released(product: Product) -> None:
    publish(product, 1)
    publish(product, 2)
    rolling.rollback(product.settings)
    report = publish(product, 3)
    assert report.written == report.deleted == 0
    assert {tenant for each in report.homes for tenant in each.held} == {t.id for t in product.tenants.values()}
    assert all(product.seen(tenant) == {("run 1", 1)} for tenant in product.tenants.values())
    assert stamp(product, "acorn") == ("run 1", AS_OF + timedelta(hours=1))
    assert rolling.release(product.settings) == len(product.tenants)
    assert not any(each.held for each in publish(product, 3).homes)
    assert all(product.seen(tenant) == {("run 3", 3)} for tenant in product.tenants.values())


def test_one_tenants_rollback_is_its_own(product: Product) -> None:
    publish(product, 1)
    publish(product, 2)
    birch = product.tenants["birch"]
    rolling.rollback(product.settings, tenant=birch.id)
    others = [tenant for tenant in product.tenants.values() if tenant is not birch]
    assert product.seen(birch) == {("run 1", 1)}
    assert all(product.seen(tenant) == {("run 2", 2)} for tenant in others)
    publish(product, 3)
    assert product.seen(birch) == {("run 1", 1)}
    assert stamp(product, "birch") == ("run 1", AS_OF + timedelta(hours=1)), "not the stamp of what it does not see"
    assert all(product.seen(tenant) == {("run 3", 3)} for tenant in others)
    rolling.release(product.settings, tenant=birch.id)
    publish(product, 3)
    assert all(product.seen(tenant) == {("run 3", 3)} for tenant in product.tenants.values())


@pytest.mark.operations
def test_rollbacks_go_on_back_as_far_as_is_kept(product: Product) -> None:
    last = versions.KEPT + 3
    for version in range(1, last + 1):
        publish(product, version)
    # Each rollback is a version of its own and replaces rows that are kept, so that of five, three can be undone.
    for back in range(1, (versions.KEPT + 1) // 2 + 1):
        rolling.rollback(product.settings)
        found = {(f"run {last - back}", last - back)}
        assert all(product.seen(tenant) == found for tenant in product.tenants.values())
    with pytest.raises(TailraceError, match="is not kept"):
        rolling.rollback(product.settings)
    with product.connect("tailrace_publisher") as connection:
        for table in HISTORY:
            kept = connection.execute(f"select count(distinct version) from tenant_analytics_private.{table}")
            assert kept.fetchone()[0] <= versions.KEPT


def test_command_rolls_back_and_releases(
    product: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAILRACE_CONFIG", str(product.settings.config_path))
    publish(product, 1)
    publish(product, 2)
    birch = product.tenants["birch"]
    command = {"region": None, "verify": False, "as_json": True}
    run(undo=True, let_go=False, tenant=birch.id.upper(), **command)
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["home"]["database"], told["restores"], told["tenants"]) == (product.shared, 1, 1)
    assert product.seen(birch) == {("run 1", 1)}
    run(undo=False, let_go=True, tenant=None, **command)
    assert json.loads(capsys.readouterr().out) == {"released": 1}
    for wrong in ({"undo": True, "let_go": True, "tenant": None}, {"undo": False, "let_go": False, "tenant": birch.id},
                  {"undo": True, "let_go": False, "tenant": "birch"}):  # fmt: skip
        with pytest.raises(TailraceError, match=r"^publish: --"):
            run(**wrong, **command)


def test_database_that_the_last_run_did_not_change_is_not_rolled_back(product: Product) -> None:
    publish(product, 1)
    publish(product, 2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(
            f"update rollups.{USAGE} set workflow_runs = 3 where tenant_id = ?",
            [product.tenants["acorn"].id],
        )
    product.publish(3, as_of=AS_OF + timedelta(hours=3))
    assert [each.home.name for each in rolling.rollback(product.settings)] == [product.shared]
    assert product.seen(product.tenants["deep-vault"]) == {("run 3", 2)}, "known to hold until run 3"


def test_first_version_has_none_before_it(product: Product) -> None:
    with pytest.raises(TailraceError, match="nothing is published"):
        rolling.rollback(product.settings)
    publish(product, 1)
    with pytest.raises(TailraceError, match="no version before"):
        rolling.rollback(product.settings)


def test_forgotten_tenant_leaves_nothing_to_go_back_to_and_follows_again(product: Product) -> None:
    publish(product, 1)
    publish(product, 2)
    rolling.rollback(product.settings)
    for slug in ("acorn", "deep-vault"):
        tenant = product.tenants[slug]
        rolling.forget(product.settings, tenant=tenant.id)
        publish(product, 3)
        dropped = rolling.forget(product.settings, tenant=tenant.id)
        assert dropped[product.home(tenant).name] > 0
        assert product.seen(tenant) == {("run 3", 3)}
        for database in product.databases:
            with product.connect("postgres", database) as admin:
                for table in HISTORY:
                    whose = "any (tenants)" if table == "undo_slices" else "tenant_id"
                    left = admin.execute(
                        f"select count(*) from tenant_analytics_private.{table} where %s = {whose}", [tenant.id]
                    )
                    assert left.fetchone() == (0,)
    rolling.rollback(product.settings)
    assert product.seen(product.tenants["birch"]) == {("run 1", 1)}


def test_changed_type_ends_what_can_be_put_back(product: Product) -> None:
    publish(product, 1)
    models = rollup_models()
    next(c for m in models if m["name"] == USAGE for c in m["columns"] if c["name"] == "comments").update(
        data_type="decimal(20, 2)"
    )
    write_manifest(product.manifest, models)
    publish(product, 2)
    with pytest.raises(TailraceError, match="is not kept"):
        rolling.rollback(product.settings)
    publish(product, 3)
    rolling.rollback(product.settings)
    assert product.seen(product.tenants["acorn"]) == {("run 2", 2)}


def test_column_added_since_is_empty_in_the_version_put_back(product: Product) -> None:
    publish(product, 1)
    models = rollup_models()
    next(m for m in models if m["name"] == USAGE)["columns"].append(
        {"name": "remark", "data_type": "varchar", "description": "New."}
    )
    write_manifest(product.manifest, models)
    product.build(2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(f"alter table rollups.{USAGE} add column remark varchar default 'x'")
    product.publish(2)
    rolling.rollback(product.settings)
    assert product.seen(product.tenants["acorn"]) == {("run 1", 1)}
    with product.connect("tailrace_publisher") as connection:
        remarks = connection.execute(f"select distinct remark from tenant_analytics.{USAGE}").fetchall()
    assert remarks == [(None,)]


def test_reader_can_reach_nothing_that_is_the_publishers(product: Product) -> None:
    publish(product, 1)
    publish(product, 2)
    rolling.rollback(product.settings, tenant=product.tenants["birch"].id)
    with product.connect("tailrace_reader") as reader:
        reader.execute("select set_config('app.current_tenant_id', %s, false)", [product.tenants["acorn"].id])
        for table in [*HISTORY, "slices"]:
            with pytest.raises(Exception, match="permission denied for schema tenant_analytics_private"):
                reader.execute(f"select * from tenant_analytics_private.{table}")
        assert reader.execute("select tenant_id, version from tenant_analytics.holds").fetchall() == []
        runs = reader.execute("select run_id from tenant_analytics.publications order by version").fetchall()
        assert runs == [("run 1",), ("run 2",)], "another tenant's rollback is not its business"
