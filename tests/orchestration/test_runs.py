"""A killed run does not stand in the way of the next."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from orchestration.runs import PID_TAG, close_dead_runs


def _run(instance: DagsterInstance, **tags: str) -> str:
    run_id = str(uuid.uuid4())
    instance.add_run(DagsterRun(job_name="tailrace", run_id=run_id, status=DagsterRunStatus.STARTED, tags=tags))
    return run_id


def _status(instance: DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


def test_only_runs_whose_process_is_gone_are_closed() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with DagsterInstance.ephemeral() as instance:
        dead = _run(instance, **{PID_TAG: str(gone.pid)})
        alive = _run(instance, **{PID_TAG: str(os.getpid())})
        launched = _run(instance)
        assert close_dead_runs(instance) == 1
        assert [_status(instance, each) for each in (dead, alive, launched)] == ["FAILURE", "STARTED", "STARTED"]
        assert close_dead_runs(instance, alone=True) == 1
        assert [_status(instance, each) for each in (alive, launched)] == ["STARTED", "FAILURE"]
