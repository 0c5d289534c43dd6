"""Runs whose process died. Dagster takes them for running still, and a queue of one would wait for them for ever."""

from __future__ import annotations

import os

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

PID_TAG = "tailrace/pid"


def close_dead_runs(instance: DagsterInstance, *, alone: bool = False) -> int:
    """Mark runs as failed whose process is gone. Returns how many.

    A run of this command line carries its process id. Runs that the Dagster daemon launched carry none: they are known
    to be dead only by whoever is ``alone``, that is, about to start the only daemon.
    """
    closed = 0
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING])):
        pid = run.tags.get(PID_TAG)
        if (pid is None and alone) or (pid is not None and not _alive(int(pid))):
            instance.report_run_failed(run, "its process died; the next run goes on from there")
            closed += 1
    return closed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
