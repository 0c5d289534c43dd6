"""What goes wrong is one clear line and a non-zero exit; nothing is half-published, and the next run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from demo.postgres import free_port
from tests.end_to_end.conftest import Deployment

pytestmark = pytest.mark.operations


def _unreachable_postgres(_: Path) -> dict[str, str]:
    return {"TAILRACE_SOURCE_DSN": f"postgresql://tailrace_cdc@127.0.0.1:{free_port()}/product_us"}


def _unknown_database(_: Path) -> dict[str, str]:
    return {"TAILRACE_SOURCE_DSN": "not a dsn at all"}


def _unreachable_api(_: Path) -> dict[str, str]:
    return {"TAILRACE_STRIPE_URL": f"http://127.0.0.1:{free_port()}"}


def _refused_credential(_: Path) -> dict[str, str]:
    return {"TAILRACE_STRIPE_API_KEY": "hush-hush"}


def _malformed_configuration(directory: Path) -> dict[str, str]:
    path = directory / "broken.yml"
    path.write_text("region: us\nsources: [\n")
    return {"TAILRACE_CONFIG": str(path)}


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (_unreachable_postgres, "product_us"),
        (_unknown_database, "DSN"),
        (_unreachable_api, "Stripe"),
        (_refused_credential, "TAILRACE_STRIPE_API_KEY"),
        (_malformed_configuration, "broken.yml"),
    ],
)
def test_a_fault_is_named_in_one_line_and_what_was_published_stands(
    deployment: Deployment, tmp_path: Path, fault: Callable[[Path], dict[str, str]], named: str
) -> None:
    before = deployment.published()
    done = deployment.tailrace("run", **fault(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("tailrace: ")
    assert named in line
    assert "hush" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert deployment.published() == before


def test_a_refused_gate_leaves_yesterdays_rollups_and_says_what_where_how_many(deployment: Deployment) -> None:
    before, analytics = deployment.published(), deployment.settings.analytics_path.stat().st_ino
    with duckdb.connect(str(deployment.settings.warehouse_path)) as connection:
        broken = connection.execute(
            "update raw_app.workflow_runs set status = 'burnt', _airbyte_extracted_at = now() "
            "where rowid in (select rowid from raw_app.workflow_runs where status = 'failed' "
            "and _ab_cdc_deleted_at is null limit 3) returning _airbyte_raw_id"
        ).fetchall()
    assert len(broken) == 3
    deployment.company.live(1)
    for _ in range(2):  # a later, separate run is refused too
        done = deployment.tailrace("run")
        assert done.returncode == 1
        assert "raw_app.workflow_runs.status" in done.stderr
        assert "on 3 of" in done.stderr
        assert deployment.published() == before
        assert deployment.settings.analytics_path.stat().st_ino == analytics
    kept = "".join(path.read_text() for path in deployment.settings.quarantine_dir.glob("*.json"))
    assert all(raw_id in kept for (raw_id,) in broken)
    assert "burnt" not in kept
    with duckdb.connect(str(deployment.settings.warehouse_path)) as connection:
        connection.execute(
            "update raw_app.workflow_runs set status = 'failed', _airbyte_extracted_at = now() where status = 'burnt'"
        )
    deployment.run()
    assert deployment.published() != before


def test_a_figure_that_cannot_be_computed_stops_the_build_by_name(deployment: Deployment) -> None:
    """An interval that nobody knows how to bring to a month must not become a made-up MRR."""
    before = deployment.published()
    kept = _set_interval(deployment, '"month"', '"fortnight"')
    done = deployment.tailrace("run")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "int_subscription_states" in line
    assert deployment.published() == before
    _set_interval(deployment, '"fortnight"', '"month"', kept)
    deployment.run()


def _set_interval(deployment: Deployment, old: str, new: str, event: str | None = None) -> str:
    with duckdb.connect(str(deployment.settings.warehouse_path)) as connection:
        (changed,) = connection.execute(
            "update raw_stripe.events "
            "set data = replace(data::varchar, $old, $new)::json, _airbyte_extracted_at = now() "
            "where id = coalesce($event, (select max(id) from raw_stripe.events "
            "where type = 'customer.subscription.created' and contains(data::varchar, $old))) returning id",
            {"old": old, "new": new, "event": event},
        ).fetchall()
    return str(changed[0])


def test_reports_are_one_json_document(deployment: Deployment) -> None:
    import json

    environment = json.loads(deployment.tailrace("env", "--json").stdout)
    assert {
        "state_dir",
        "warehouse_path",
        "analytics_path",
        "source_dsns",
        "rollup_dsns",
        "stripe_url",
        "crm_url",
        "dagster_url",
        "dashboard_url",
    } <= set(environment)
    assert set(environment["source_dsns"]) == set(deployment.settings.source_databases())
    status = json.loads(deployment.tailrace("status", "--json").stdout)
    assert status["last_run"]["status"] in {"success", "failure"}  # the last run is another test's
    assert {"raw_app.users", "marts.dim_tenants"} <= {each["table"] for each in status["tables"]}
    assert json.loads(deployment.tailrace("doctor", "--json").stdout)["ok"]
    rows = json.loads(deployment.tailrace("sql", "--json", "select count(*) as n from marts.dim_tenants").stdout)
    assert rows[0]["n"] > 0


def test_analysts_can_neither_write_nor_read_another_file(deployment: Deployment) -> None:
    for query in (
        "create table t (n integer)",
        "delete from marts.dim_tenants",
        f"attach '{deployment.settings.warehouse_path}' as w",
        f"from read_text('{deployment.settings.vault_path}')",
        "select * from raw_app.users",
    ):
        done = deployment.tailrace("sql", query)
        assert (done.returncode, done.stdout) == (1, ""), query
        assert len(done.stderr.strip().splitlines()) == 1
