"""Rolling windows: right, of one version that they name, each tenant's own, and refreshed by whom it falls to."""

# ruff: noqa: S608 - names are the test's own

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from demo.postgres import EmbeddedPostgres
from serving import rollback as rolling
from serving import windows
from serving.contract import load_rollup_contracts
from serving.homes import Home
from settings import TailraceError
from tests.serving.conftest import (
    AS_OF,
    FEATURES,
    USAGE,
    Product,
    Resident,
    four_tenants,
    new_product,
    rollup_models,
    write_manifest,
)

ACTIVITY, ADOPTION, MODELS = "rolling_usage", "rolling_features", "rolling_ai_models"
PG_CRON = Path("/usr/share/postgresql/15/extension/pg_cron.control")


def read(product: Product, tenant: Resident, columns: str, window: str = ACTIVITY) -> list[tuple[Any, ...]]:
    """What a tenant reads of a window, in order."""
    home = product.home(tenant)
    with product.connect("tailrace_reader", home.database) as reader:
        reader.execute("select set_config('app.current_tenant_id', %s, false)", [tenant.id])
        return reader.execute(f"select {columns} from {home.schema}.{window} order by 1, 2").fetchall()


def figures(product: Product, home: Home, window: str = ACTIVITY) -> str:
    """The materialized view that a window is over."""
    with product.connect("tailrace_publisher", home.database) as connection:
        (name,) = connection.execute(
            "select matviewname from pg_matviews where schemaname = %s and matviewname like %s",
            [home.private, f"{window}\\_%"],
        ).fetchone()
    return f'"{home.private}"."{name}"'


def declare(product: Product, rollup: str, **changes: Any) -> None:
    """Publish by a declaration of a rollup's window that differs."""
    models = rollup_models()
    window = next(model for model in models if model["name"] == rollup)["config"]["meta"]["windows"][0]
    window.update(changes)
    write_manifest(product.manifest, models)


@pytest.fixture
def varied(product: Product) -> dict[date, int]:
    """Forty days, of which the last are not over yet and the first too old; day → acorn's figure."""
    product.build(1, days=40)
    days = {date(2026, 1, 1) + timedelta(days=n): (n * 37) % 23 + 1 for n in range(40)}
    with duckdb.connect(str(product.warehouse)) as warehouse:
        for day, figure in days.items():
            warehouse.execute(
                f"update rollups.{USAGE} set active_users = ?, active_users_28d = ?, api_requests = ?, ai_cost_usd = ? "
                "where tenant_id = ? and day = ?",
                [figure, 100 + figure, figure * 10, figure, product.tenants["acorn"].id, day],
            )
            warehouse.execute(
                f"update rollups.{FEATURES} set events = ? where tenant_id = ? and day = ? and feature = 'api'",
                [figure, product.tenants["acorn"].id, day],
            )
    return days


def test_window_holds_what_the_rollup_says_of_its_whole_days(product: Product, varied: dict[date, int]) -> None:
    until = date(2026, 2, 5)
    product.publish(1, as_of=datetime(2026, 2, 5, 13, tzinfo=UTC))
    inside = [figure for day, figure in varied.items() if until - timedelta(days=28) <= day < until]
    acorn = product.tenants["acorn"]
    columns = (
        "first_day, last_day, days, active_users_28d, daily_active_users_median, api_requests, ai_cost_usd, version"
    )
    expected = (
        date(2026, 1, 8),
        date(2026, 2, 4),
        28,
        100 + varied[date(2026, 2, 4)],
        statistics.median(inside),
        sum(inside) * 10,
        Decimal(sum(inside)),
        1,
    )
    assert read(product, acorn, columns) == [expected]
    (p90,) = read(product, acorn, "daily_active_users_p90, 1")[0][:1]
    assert p90 == pytest.approx(statistics.quantiles(inside, n=10, method="inclusive")[-1])
    ranked = read(product, acorn, "rank, feature, events", ADOPTION)
    assert ranked == [(1, "api", sum(inside)), (2, "workflows", 28)]
    assert read(product, acorn, "model, requests", MODELS) == [], "nothing was published of it"


def test_every_tenant_of_every_tier_reads_its_own_window_and_no_others(product: Product) -> None:
    product.publish(1)
    for tenant in product.tenants.values():
        home = product.home(tenant)
        with product.connect("tailrace_reader", home.database) as reader:
            for setting, ids in (
                (None, set()),
                ("", set()),
                (str(uuid.uuid4()), set()),
                (tenant.id, {uuid.UUID(tenant.id)}),
            ):
                if setting is not None:
                    reader.execute("select set_config('app.current_tenant_id', %s, false)", [setting])
                for window in (ACTIVITY, ADOPTION):
                    rows = reader.execute(f"select tenant_id from {home.schema}.{window}").fetchall()
                    assert {each for (each,) in rows} == ids
            name = figures(product, home)
            for refused in (f"select * from {name}", f"refresh materialized view {name}", f"table {name}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(refused)


def test_function_in_a_query_is_not_shown_other_tenants_windows(product: Product) -> None:
    product.publish(1)
    with product.connect("tailrace_reader") as reader:
        told: list[str] = []
        reader.add_notice_handler(lambda notice: told.append(notice.message_primary))
        reader.execute(
            "create function pg_temp.tell(uuid) returns boolean language plpgsql cost 0.0000001 as "
            "$$ begin raise notice '%', $1; return true; end $$"
        )
        reader.execute("select set_config('app.current_tenant_id', %s, false)", [product.tenants["acorn"].id])
        for window in (ACTIVITY, ADOPTION):
            reader.execute(f"select 1 from tenant_analytics.{window} where pg_temp.tell(tenant_id)")
        assert set(told) == {product.tenants["acorn"].id}


def test_owner_of_the_tables_would_refresh_to_nothing_and_does_not_own_the_windows(product: Product) -> None:
    product.publish(1)
    with product.connect("postgres") as admin:
        owners = admin.execute("select distinct matviewowner from pg_matviews").fetchall()
        assert owners == [("tailrace_publisher",)]
        name = figures(product, Home(product.shared))
        admin.execute(f"refresh materialized view concurrently {name}")
        assert admin.execute(f"select count(*) from {name}").fetchone() == (2,), "acorn and birch"
        admin.execute(f"alter materialized view {name} owner to tailrace_owner")
        admin.execute(f"refresh materialized view {name}")
        assert admin.execute(f"select count(*) from {name}").fetchone() == (0,), "what this guards against"


def test_killed_before_refreshing_shows_the_old_version_whole_and_says_so(product: Product) -> None:
    product.publish(1)
    acorn = product.tenants["acorn"]
    product.build(2)
    dying = product.publish_in_a_process(2, failpoint="publish_after_commit")
    assert dying.wait(timeout=60) == -9
    cedar = product.tenants["cedar"]  # its home comes first
    assert product.seen(cedar) == {("run 2", 2)}
    seen = "workflow_runs, version, as_of"
    assert read(product, cedar, seen) == [(10, 1, AS_OF)]
    product.publish(2)
    assert read(product, cedar, seen) == read(product, acorn, seen) == [(20, 2, AS_OF)]


def test_all_windows_of_a_home_are_of_one_version_through_publishes_and_rollbacks(product: Product) -> None:
    acorn, birch = product.tenants["acorn"], product.tenants["birch"]

    def versions(tenant: Resident) -> set[tuple[int, int]]:
        usage = [(runs // 10, version) for runs, version in read(product, tenant, "workflow_runs, version")]
        features = read(product, tenant, "events / 10, version", ADOPTION)
        return {*usage, *((int(figure), version) for figure, version in features)}

    for version in (1, 2):
        product.build(version)
        product.publish(version)
        assert versions(acorn) == versions(birch) == {(version, version)}
    rolling.rollback(product.settings, tenant=birch.id)
    assert (versions(acorn), versions(birch)) == ({(2, 2)}, {(1, 3)})
    product.build(4)
    product.publish(4)
    assert (versions(acorn), versions(birch)) == ({(4, 4)}, {(1, 3)}), "birch is held"
    rolling.release(product.settings)
    rolling.rollback(product.settings)
    assert versions(acorn) == {(2, 5)}


def test_unchanged_publish_writes_nothing_into_windows_and_a_later_stamp_moves_theirs(product: Product) -> None:
    product.publish(1)
    acorn = product.tenants["acorn"]

    def rows() -> list[Any]:
        with product.connect("tailrace_publisher") as connection:
            return connection.execute(f"select ctid, xmin from {figures(product, Home(product.shared))}").fetchall()

    before = rows()
    product.publish(1, as_of=AS_OF + timedelta(hours=1))
    assert rows() == before
    assert read(product, acorn, "version, as_of, last_day") == [(1, AS_OF + timedelta(hours=1), date(2026, 1, 10))]
    product.publish(1, as_of=AS_OF + timedelta(days=20))
    assert read(product, acorn, "version, last_day, days") == [(1, date(2026, 1, 30), 8)], "two of ten days have left"


def test_changed_declaration_takes_the_place_of_the_old_and_a_withdrawn_one_goes(product: Product) -> None:
    product.publish(1)
    acorn = product.tenants["acorn"]
    declare(product, USAGE, days=3, measures={"most": {"max": "workflow_runs"}})
    product.publish(1)
    assert read(product, acorn, "first_day, days, most") == [(date(2026, 1, 8), 3, 1)]
    models = rollup_models()
    del next(model for model in models if model["name"] == FEATURES)["config"]
    write_manifest(product.manifest, models)
    product.publish(1)
    with pytest.raises(psycopg.errors.UndefinedTable):
        read(product, acorn, "*", ADOPTION)
    with product.connect("postgres") as admin:
        left = admin.execute("select count(*) from pg_matviews where matviewname like %s", [f"{ADOPTION}%"]).fetchone()
    assert left == (0,)


def test_windows_follow_a_changed_type_and_are_there_all_the_while(product: Product) -> None:
    product.publish(1)
    acorn = product.tenants["acorn"]
    models = rollup_models()
    usage = next(model for model in models if model["name"] == USAGE)
    next(each for each in usage["columns"] if each["name"] == "api_requests").update(data_type="decimal(20, 2)")
    write_manifest(product.manifest, models)
    product.build(2)
    with product.connect("tailrace_reader") as reader:
        reader.execute("select set_config('app.current_tenant_id', %s, false)", [acorn.id])
        reader.execute(f"prepare standing as select workflow_runs, version from tenant_analytics.{ACTIVITY}")
        assert reader.execute("execute standing").fetchall() == [(10, 1)]
        product.publish(2)
        assert reader.execute("execute standing").fetchall() == [(20, 2)]
    assert read(product, acorn, "api_requests, pg_typeof(api_requests)::text") == [(Decimal("20.00"), "numeric")]


def test_tenant_that_is_gone_leaves_the_windows_too(product: Product) -> None:
    product.publish(1)
    birch = product.tenants["birch"]
    with duckdb.connect(str(product.warehouse)) as warehouse:
        for rollup in (USAGE, FEATURES):
            warehouse.execute(f"delete from rollups.{rollup} where tenant_id = ?", [birch.id])
        warehouse.execute("update marts.dim_tenants set is_deleted = true where tenant_id = ?", [birch.id])
    rolling.forget(product.settings, tenant=birch.id)
    product.publish(2)
    rolling.forget(product.settings, tenant=birch.id)
    with product.connect("tailrace_publisher") as connection:
        for window in (ACTIVITY, ADOPTION):
            name = figures(product, Home(product.shared), window)
            found = connection.execute(f"select count(*) from {name} where tenant_id = %s", [birch.id])
            assert found.fetchone() == (0,)


@pytest.mark.parametrize(("rollup", "changes", "complaint"), [
    (USAGE, {"measures": {"x": {"p100": "comments"}}}, "windows.measures"),
    (USAGE, {"measures": {"x": {"sum": "nothing"}}}, "no column nothing"),
    (USAGE, {"measures": {'x"; drop table y': {"sum": "comments"}}}, "windows.measures"),
    (USAGE, {"measures": {"version": {"sum": "comments"}}}, "two columns of one name"),
    (USAGE, {"name": "rollup_tenant_ai_daily"}, "windows.name"),
    (USAGE, {"name": ADOPTION}, "two rollups declare the window"),
    (USAGE, {"days": 0}, "windows.days"),
    (USAGE, {"by": ["comments"]}, "columns of the key"),
    (USAGE, {"rank": "workflow_runs"}, "needs `by`"),
    (FEATURES, {"rank": "feature"}, "names no measure"),
    (FEATURES, {"where": "true"}, "windows.where"),
])  # fmt: skip
def test_window_that_cannot_be_computed_is_refused_in_one_line(
    product: Product, rollup: str, changes: dict[str, Any], complaint: str
) -> None:
    declare(product, rollup, **changes)
    with pytest.raises(TailraceError, match=complaint) as caught:
        load_rollup_contracts(product.manifest)
    assert "\n" not in str(caught.value)


def test_window_over_a_rollup_without_days_is_refused(product: Product) -> None:
    manifest = json.loads(product.manifest.read_text())
    given = {"name": "rolling_users", "description": "", "days": 28, "measures": {"x": {"sum": "events_28d"}}}
    manifest["nodes"]["model.tailrace.rollup_tenant_users"]["config"]["meta"] = {"windows": [given]}
    product.manifest.write_text(json.dumps(manifest))
    with pytest.raises(TailraceError, match="its key has no date"):
        load_rollup_contracts(product.manifest)


@pytest.fixture(scope="module")
def cron(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product on Debian's PostgreSQL 15 whose shared database has pg_cron; published once. No job comes by itself."""
    if not PG_CRON.exists():
        pytest.skip("postgresql-15-cron is not installed (Debian: `apt-get install postgresql-15-cron`)")
    folder = tmp_path_factory.mktemp("cron")
    with EmbeddedPostgres(folder / "server", version="15") as server:
        with new_product(server, folder, residents=four_tenants()) as made, pytest.MonkeyPatch.context() as patch:
            patch.setattr(windows, "EVERY_MINUTE", "0 0 29 2 *")
            with (server.data / "postgresql.conf").open("a", encoding="utf-8") as options:
                options.write("shared_preload_libraries = 'pg_cron'\n")
                options.write(f"cron.database_name = '{made.shared}'\ncron.use_background_workers = on\n")
            server.stop()
            server.start()
            with server.connect(made.shared) as admin:
                admin.execute("create extension pg_cron")
                admin.execute("grant usage on schema cron to tailrace_publisher")
            made.publish(1)
            yield made
            with server.connect(made.shared) as admin:
                admin.execute("drop extension pg_cron")


def jobs(product: Product) -> dict[str, str]:
    with product.connect("tailrace_publisher") as connection:
        return dict(connection.execute("select jobname, command from cron.job").fetchall())


def test_pg_cron_is_told_to_refresh_and_the_pipeline_leaves_it_to_it(cron: Product) -> None:
    acorn, deep, cedar = (cron.tenants[slug] for slug in ("acorn", "deep-vault", "cedar"))
    assert set(jobs(cron)) == {f"tailrace windows of {cron.home(each).schema}" for each in (acorn, cedar)}
    cron.build(2)
    cron.publish(2)
    assert read(cron, acorn, "workflow_runs, version") == [(10, 1)], "until the minute is over"
    assert read(cron, deep, "workflow_runs, version") == [(20, 2)], "the silo's database has no pg_cron"
    assert cron.seen(acorn) == {("run 2", 2)}
    with cron.connect("tailrace_publisher") as connection:  # what pg_cron runs, as whom it runs it
        for command in jobs(cron).values():
            connection.execute(command)
    assert read(cron, acorn, "workflow_runs, version") == read(cron, cedar, "workflow_runs, version") == [(20, 2)]


def test_pipeline_does_what_pg_cron_has_not_done_in_time(cron: Product) -> None:
    acorn = cron.tenants["acorn"]
    cron.build(3)
    cron.publish(3)
    assert read(cron, acorn, "workflow_runs, 1") != [(30, 1)]
    cron.publish(3)
    assert read(cron, acorn, "workflow_runs, 1") != [(30, 1)], "there is time yet"
    with cron.connect("tailrace_publisher") as connection:
        connection.execute("update tenant_analytics.publications set published_at = published_at - interval '1 hour'")
    cron.publish(3)
    assert read(cron, acorn, "workflow_runs, 1") == [(30, 1)]


def test_namespace_that_is_dropped_takes_its_job_along(cron: Product) -> None:
    home = cron.home(cron.tenants["cedar"])
    cron.move("cedar", "pool")
    cron.build(4)
    assert cron.publish(4).dropped == (home,)
    assert set(jobs(cron)) == {"tailrace windows of tenant_analytics"}
    cron.move("cedar", "namespace")
    cron.publish(4)


@pytest.mark.operations
def test_pg_cron_refreshes_by_itself_within_two_minutes(cron: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "EVERY_MINUTE", "* * * * *")
    acorn = cron.tenants["acorn"]
    cron.build(5)
    report = cron.publish(5)
    version = next(each.version for each in report.homes if each.home == Home(cron.shared))
    until = time.monotonic() + 130
    while read(cron, acorn, "version, 1") != [(version, 1)]:
        assert time.monotonic() < until, "pg_cron did not run the job"
        time.sleep(1)
    assert read(cron, acorn, "workflow_runs, version") == [(50, version)]
