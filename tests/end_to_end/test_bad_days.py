"""What goes wrong is one clear line and a non-zero exit; nothing is half-published, and the next run goes on."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from demo.postgres import free_port
from settings import ROOT
from tests.end_to_end.conftest import Deployment


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


def test_ctrl_c_is_one_line_and_the_next_run_goes_on(deployment: Deployment) -> None:
    deployment.company.live(1)
    process = deployment.start_run()
    time.sleep(7)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("tailrace: interrupted")
    assert "Traceback" not in errors
    deployment.run()


@pytest.mark.parametrize("seconds", [6.0, 9.0, 12.0, 15.0])
def test_killed_at_any_time_the_next_run_ends_as_if_nothing_had_happened(
    deployment: Deployment, seconds: float
) -> None:
    deployment.company.live(1)
    before = deployment.published()
    process = deployment.start_run()
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    interrupted = deployment.published()
    deployment.run()
    after = deployment.published()
    # Each database holds the old version whole or the new one whole; the kill may have come after its commit.
    assert all(rows in (before[table], after[table]) for table, rows in interrupted.items())
    measures = "active_users, workflow_runs, tasks_completed, comments, api_requests, ai_requests"
    assert deployment.analytics(
        f"select tenant_id, day::varchar, {measures} from marts.fct_usage_daily order by 1, 2"  # noqa: S608
    ) == deployment.ledger(
        f"select tenant_id, day, {measures} from ledger_usage join ledger_tenants using (tenant_id) "  # noqa: S608
        "where region = 'us' order by 1, 2"
    )


def test_two_runs_at_once_take_turns(deployment: Deployment) -> None:
    deployment.company.live(1)
    runs = [deployment.start_run() for _ in range(2)]
    ends = [run.communicate(timeout=240) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], [error for _, error in ends]


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(deployment: Deployment) -> None:
    """A limit on the size of files stands in for a full disk: the write fails in the same place."""
    deployment.company.live(1)
    before = deployment.published()
    limit = 1_000_000  # bytes, less than Dagster's, DuckDB's and the analytics file's all need

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [str(Path(sys.executable).with_name("tailrace")), "run"],
        cwd=ROOT,
        env={**os.environ, **deployment.environment},
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=limited,
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "the disk is full" in line
    assert deployment.published() == before
    deployment.run()


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
    assert status["last_run"]["status"] == "success"
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
