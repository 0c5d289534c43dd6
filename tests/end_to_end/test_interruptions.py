"""A run that is interrupted, killed, doubled or out of disk leaves a deployment that the next run goes on with."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settings import ROOT
from tests.end_to_end.conftest import Deployment

pytestmark = pytest.mark.operations


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
