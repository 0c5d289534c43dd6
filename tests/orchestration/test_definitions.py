"""The code location loads anywhere, and its graph is gated as the architecture says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT

DESCRIBE = """
import json
from orchestration.definitions import defs
graph = defs.resolve_asset_graph()
schedule = defs.resolve_schedule_def("tailrace_schedule")
print(json.dumps({
    "nodes": {
        key.to_user_string(): {
            "parents": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            "group": graph.get(key).group_name,
        }
        for key in graph.get_all_asset_keys()
    },
    "gates": sorted(
        check.asset_key.to_user_string() for check in graph.asset_check_keys
        if check.name == "gate" and graph.get(check).blocking
    ),
    "schedule": [schedule.cron_schedule, schedule.default_status.value],
    "executor": defs.executor.name,
}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A machine without secrets and without anything landed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "SNOWFLAKE_"))}
    return {**kept, "TAILRACE_HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module")
def described(environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.operations
def test_definitions_load_without_secrets(environment: dict[str, str]) -> None:
    dg = str(Path(sys.executable).with_name("dg"))
    done = subprocess.run([dg, "check", "defs"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_every_raw_table_staging_model_and_rollup_has_a_blocking_gate(described: dict[str, Any]) -> None:
    nodes = described["nodes"]
    gated = {key for key, node in nodes.items() if key.startswith(("raw_", "staging/", "rollups/"))}
    assert gated == set(described["gates"])


def test_every_path_goes_from_a_source_over_raw_to_the_product(described: dict[str, Any]) -> None:
    nodes = described["nodes"]
    for key, node in nodes.items():
        groups = {nodes[parent]["group"] for parent in node["parents"]}
        if node["group"].startswith("raw_"):
            assert {group.startswith("source_") for group in groups} == {True}, key
        if node["group"] == "staging":
            assert all(group.startswith("raw_") or group == "vault" for group in groups), key
        if node["group"] == "product":
            assert groups == {"rollups"}, key
        if node["group"] not in ("staging", "vault"):
            assert "vault" not in groups, f"{key} must not read tenant keys"
        if node["group"] in ("intermediate", "marts", "rollups", "analysts", "product"):
            assert not any(group.startswith("raw_") for group in groups), f"{key} must not read raw"


def test_the_job_runs_hourly_in_one_process(described: dict[str, Any]) -> None:
    assert described["schedule"] == ["0 * * * *", "RUNNING"]
    assert described["executor"] == "in_process"
