"""Airbyte behind Dagster and the command line: the same assets, no empty success, and no secret shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import AssetKey, DagsterInstance, materialize

from ingestion.airbyte import apply as airbyte
from ingestion.airbyte import desired, manifest
from orchestration.defs import airbyte as landed_by
from orchestration.defs import raw
from orchestration.defs.deployment import Deployment
from pii_policies import load_contracts
from settings import ROOT, Settings
from tests.ingestion.airbyte.conftest import (  # noqa: F401  stub and configure are fixtures
    APP,
    HUBSPOT,
    SECRETS,
    STRIPE,
    Configure,
    client_of,
    configure,
    stub,
)
from tests.ingestion.airbyte.landing import create_tables, land_row
from tests.ingestion.airbyte.stub import KINDS, AirbyteStub

CLI = "from orchestration.cli import main; main()"


@pytest.fixture
def landing(stub: AirbyteStub, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Settings:  # noqa: F811
    """A deployment whose HubSpot is landed by Airbyte, into the DuckDB file, a row of every stream a sync."""
    declared = configure(HUBSPOT)
    client = client_of(declared)
    airbyte.apply(client, desired.resources(declared), prefix=desired.prefix(declared))
    client.close()
    settings = configure(HUBSPOT, warehouse="duckdb")
    monkeypatch.setenv("TAILRACE_CONFIG", str(settings.config_path))
    monkeypatch.setenv("TAILRACE_HOME", str(settings.state_dir))
    settings.region_dir.mkdir(parents=True, exist_ok=True)

    def land(job: dict[str, Any]) -> None:
        with duckdb.connect(str(settings.warehouse_path)) as connection:
            create_tables(connection, "hubspot")
            for stream in manifest.part("hubspot")["streams"]:
                land_row(
                    connection, "hubspot", stream["name"], at=datetime.now(UTC), id=f"{job['jobId']}", archived=False
                )

    stub.on_success = land
    return settings


def run(settings: Settings) -> Any:
    with DagsterInstance.ephemeral() as instance:
        return materialize(
            landed_by.landed_assets(settings),
            resources={"deployment": Deployment()},
            instance=instance,
            raise_on_error=False,
        )


def failure(result: Any) -> str:
    (event,) = [each for each in result.all_events if each.event_type_value == "STEP_FAILURE"]
    return str(event.step_failure_data.user_failure_data.description)


def test_the_assets_are_those_of_the_embedded_loaders(configure: Configure) -> None:  # noqa: F811
    made = landed_by.landed_assets(configure(APP, STRIPE, HUBSPOT))
    embedded = [raw.ingest_app, raw.ingest_stripe, raw.ingest_hubspot]
    assert [each.op.name for each in made] == [each.op.name for each in embedded]
    for ours, theirs in zip(made, embedded, strict=True):
        assert ours.keys == theirs.keys
        assert {k: v.deps for k, v in ours.specs_by_key.items()} == {k: v.deps for k, v in theirs.specs_by_key.items()}


@pytest.mark.operations
def test_a_source_has_one_asset_whoever_lands_it(configure: Configure) -> None:  # noqa: F811
    """The whole code location, loaded in a process of its own with no server to ask."""
    settings = configure(HUBSPOT, warehouse="duckdb", url="http://127.0.0.1:9/api/public/v1")
    program = (
        "import json; from orchestration.definitions import defs; graph = defs.resolve_asset_graph(); "
        "node = lambda k: graph.get(k); "
        "print(json.dumps({k.to_user_string(): sorted(node(k).kinds) for k in graph.get_all_asset_keys()}))"
    )
    environment = {**os.environ, "TAILRACE_CONFIG": str(settings.config_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-2000:]
    kinds = json.loads(done.stdout.splitlines()[-1])
    for source in ("app", "stripe", "hubspot"):
        for table in load_contracts().raw_tables(source):
            assert kinds[f"{table.schema}/{table.name}"] == ["airbyte" if source == "hubspot" else "duckdb"]


def test_a_sync_is_materialized_with_its_counts_and_its_log(stub: AirbyteStub, landing: Settings) -> None:  # noqa: F811
    result = run(landing)
    assert result.success
    seen = {}
    for event in result.get_asset_materialization_events():
        metadata = {name: value.value for name, value in event.materialization.metadata.items()}
        seen[event.asset_key] = metadata["rows_landed"]
        assert metadata["dagster/row_count"] == seen[event.asset_key]
        assert metadata["records_of_the_sync"] == stub.records
        assert metadata["bytes_of_the_sync"] == 100 * stub.records
        assert metadata["log_tailrace-us-hubspot"].endswith("timeline?jobId=1&openLogs=true")
    synced = {stream["name"] for stream in manifest.part("hubspot")["streams"]}
    assert seen == {AssetKey([t.schema, t.name]): t.name in synced for t in load_contracts().raw_tables("hubspot")}


def test_a_failed_sync_is_a_failed_asset(stub: AirbyteStub, landing: Settings) -> None:  # noqa: F811
    stub.script = ["running", "failed"]
    result = run(landing)
    assert not result.success
    assert "its log says why: http" in failure(result)


def test_a_success_with_no_record_is_a_failed_asset(stub: AirbyteStub, landing: Settings) -> None:  # noqa: F811
    stub.records = 0
    result = run(landing)
    assert not result.success
    assert "succeeded with no record" in failure(result)


def test_what_breaks_the_raw_contract_is_a_failed_asset(stub: AirbyteStub, landing: Settings) -> None:  # noqa: F811
    land = stub.on_success

    def land_more(job: dict[str, Any]) -> None:
        land(job)
        with duckdb.connect(str(landing.warehouse_path)) as connection:
            connection.execute("alter table raw_hubspot.contacts add column properties_ssn varchar")

    stub.on_success = land_more
    result = run(landing)
    assert not result.success
    assert "raw_hubspot.contacts.properties_ssn: in no contract" in failure(result)


def test_an_interrupted_run_cancels_its_sync(stub: AirbyteStub, landing: Settings) -> None:  # noqa: F811
    stub.script = ["running"]
    program = (
        "from dagster import materialize; from orchestration.defs import airbyte; "
        "from orchestration.defs.deployment import Deployment; from settings import load_settings; "
        "materialize(airbyte.landed_assets(load_settings()), resources={'deployment': Deployment()})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        give_up = time.monotonic() + 120
        while not any(job["status"] == "running" for job in list(stub.jobs.values())) and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert [job["status"] for job in stub.jobs.values()] == ["cancelled"]


def test_the_command_line_plans_applies_and_sees_drift_and_shows_no_secret(
    stub: AirbyteStub,  # noqa: F811
    configure: Configure,  # noqa: F811
    tmp_path: Path,
) -> None:
    settings = configure(APP, STRIPE, HUBSPOT)
    environment = {**os.environ, "TAILRACE_CONFIG": str(settings.config_path), "TAILRACE_HOME": str(settings.state_dir)}
    said: list[str] = []

    def tailrace(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", CLI, "airbyte", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        said.append(done.stdout + done.stderr)
        return done

    planned = tailrace("plan", "--detailed-exitcode")
    assert (planned.returncode, "password: (set)" in planned.stdout) == (2, True)
    assert not any(stub.resources[kind] for kind in KINDS)
    applied = tailrace("apply")
    assert (applied.returncode, applied.stdout.count("created ")) == (0, 11)
    again = tailrace("plan", "--detailed-exitcode", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (0, {"changes": [], "notes": []})
    stub.named("connection", "tailrace-us-stripe")["schedule"] = {"scheduleType": "cron", "cronExpression": "x"}
    drifted = tailrace("manifest", "--check", "--server")
    assert drifted.returncode == 1
    assert drifted.stderr.count("\n") == 1
    assert "tailrace-us-stripe (update)" in drifted.stderr
    stub.fault = lambda method, path: 403 if path.endswith("/sources") else None
    refused = tailrace("apply")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    written = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    for value in SECRETS.values():
        for line in value.splitlines():
            if not line.startswith("-----") and line != SECRETS["TEST_AIRBYTE_ID"]:
                assert not any(line in text for text in [*said, *written])
