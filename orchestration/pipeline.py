"""One run of the whole pipeline in this process, watched: what each station did, and how long it took."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.instance import InstanceRef

from orchestration.environment import prepare
from orchestration.interrupts import Interrupts
from orchestration.runs import PID_TAG, close_dead_runs
from settings import Settings, TailraceError

STATIONS = {
    "ingest_app": "Postgres change stream",
    "ingest_stripe": "Stripe",
    "ingest_hubspot": "HubSpot",
    "ingest_salesforce": "Salesforce",
    "vault__tenant_keys": "tenant keys",
    "gate_raw": "gate on raw",
    "dbt_models": "dbt: staging, marts, rollups",
    "gate_rollups": "gate on rollups",
    "publish": "publish to the product",
    "publish_clickhouse": "publish to ClickHouse",
    "analytics__file": "analytics file",
}


@dataclass(kw_only=True)
class RunReport:
    """What one run did. ``seconds`` by station; ``rows`` landed by raw schema; ``problem`` is one line or None."""

    run_id: str
    success: bool = False
    problem: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    models: int = 0
    gates_passed: int = 0
    gates_refused: int = 0
    tests_passed: int = 0
    tests_failed: int = 0
    rollups: int = 0
    rollup_rows_changed: int = 0


def run_pipeline(settings: Settings, *, progress: Callable[[str], None] = lambda text: None) -> RunReport:
    """Run the job ``tailrace`` once, in this process, recorded in the deployment's Dagster instance.

    ``progress`` is told what has just been done. A refused gate or a failed station is in the report, not raised.
    """
    prepare(settings)
    from orchestration.definitions import defs

    job = defs.resolve_job_def("tailrace")
    with _instance(settings) as instance, Interrupts() as interrupts:
        close_dead_runs(instance)
        run_id = str(uuid.uuid4())
        stop = threading.Event()
        watcher = threading.Thread(target=_watch, args=(instance, run_id, stop, interrupts, progress), daemon=True)
        watcher.start()
        try:
            # dbt's lines, which Dagster repeats on standard output, go to the run's log.
            with (settings.logs_dir / f"run-{run_id}.log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
                job.execute_in_process(
                    instance=instance,
                    run_id=run_id,
                    raise_on_error=False,
                    tags={PID_TAG: str(os.getpid())},
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
        finally:
            stop.set()
            watcher.join()
        entries = instance.all_logs(run_id)
    if interrupts.received():
        raise KeyboardInterrupt
    return report(run_id, entries)


def _instance(settings: Settings) -> DagsterInstance:
    """The deployment's instance, but that it leaves this process's output alone: the run's log has it."""
    silent = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    home = str(settings.dagster_home)
    return DagsterInstance.from_ref(InstanceRef.from_dir(home, overrides={"compute_logs": silent}))


def report(run_id: str, entries: list[EventLogEntry] | Any) -> RunReport:
    """Sum a run's events up. A pure function of them."""
    result = RunReport(run_id=run_id)
    started: dict[str, float] = {}
    for entry in entries:
        event = entry.dagster_event
        if event is None:
            continue
        name = (event.step_key or "").split("[")[0]
        match event.event_type:
            case DagsterEventType.STEP_START:
                started[name] = entry.timestamp
            case DagsterEventType.STEP_SUCCESS | DagsterEventType.STEP_FAILURE:
                result.seconds[name] = round(entry.timestamp - started.get(name, entry.timestamp), 2)
                if event.event_type is DagsterEventType.STEP_FAILURE and result.problem is None:
                    result.problem = _first_line(event)
            case DagsterEventType.ASSET_MATERIALIZATION:
                _count_materialization(result, event)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                _count_check(result, event)
            case DagsterEventType.RUN_SUCCESS:
                result.success = result.gates_refused == 0
    return result


def _count_materialization(result: RunReport, event: Any) -> None:
    materialization = event.step_materialization_data.materialization
    path = materialization.asset_key.path
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    if path[0].startswith("raw_"):
        result.rows[path[0]] = result.rows.get(path[0], 0) + int(metadata.get("rows_landed", 0))
    elif path[0] in ("tenant_analytics",):
        result.rollups += 1
        result.rollup_rows_changed += int(metadata.get("rows_changed", 0))
    elif event.step_key == "dbt_models":
        result.models += 1


def _count_check(result: RunReport, event: Any) -> None:
    evaluation = event.asset_check_evaluation_data
    gate = event.step_key in ("gate_raw", "gate_rollups")
    if evaluation.passed:
        result.gates_passed += gate
        result.tests_passed += not gate
        return
    result.gates_refused += gate
    result.tests_failed += not gate
    if gate and result.problem is None:
        findings = evaluation.metadata.get("findings")
        result.problem = f"gate refused: {findings.value if findings else evaluation.asset_key.to_user_string()}"


def _first_line(event: Any) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = event.step_failure_data.user_failure_data
    message = (text.description if text and text.description else None) or (error.message if error else "failed")
    return str(message).strip().splitlines()[0]


def _watch(
    instance: DagsterInstance,
    run_id: str,
    stop: threading.Event,
    interrupts: Interrupts,
    progress: Callable[[str], None],
) -> None:
    cursor: str | None = None
    while not stop.wait(0.3):
        if interrupts.received():
            interrupts.send_again()
        try:
            connection = instance.get_records_for_run(run_id, cursor)
        except Exception:  # the run's own thread may hold the log for a moment; progress can wait
            continue
        cursor = connection.cursor
        for record in connection.records:
            event = record.event_log_entry.dagster_event
            if event is not None and event.event_type is DagsterEventType.STEP_START:
                progress(STATIONS.get(event.step_key or "", event.step_key or ""))


def require_success(result: RunReport) -> None:
    """Raise TailraceError with the run's first problem; nothing was published then."""
    if not result.success:
        raise TailraceError(result.problem or f"run {result.run_id} failed; see it in the Dagster UI (`make up`)")
