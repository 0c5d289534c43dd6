"""Rights as jobs. Whom a request is about stands in the privacy folder, never in a run's configuration or its log."""

from collections.abc import Callable
from pathlib import Path

from dagster import (
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from orchestration.defs.deployment import Deployment
from orchestration.failures import station
from orchestration.rights import rights_of
from privacy import requests
from privacy.rights import Rights


def _job(kind: str, act: Callable[[Rights], list[Path]], description: str) -> JobDefinition:
    @op(name=f"exercise_{kind}", description=description)
    def exercise(context: OpExecutionContext, deployment: Deployment) -> None:
        with station(kind):
            for path in act(rights_of(deployment.settings, progress=context.log.info)):
                context.log.info(f"receipt {path}")

    @job(name=f"privacy_{kind}", description=description, executor_def=in_process_executor)
    def exercised() -> None:
        exercise()

    return exercised


JOBS = [_job(kind, requests.handler(kind), f"Exercise every waiting request: {kind}.") for kind in requests.KINDS]
_retention = next(each for each in JOBS if each.name == "privacy_retention")

SCHEDULES = [
    ScheduleDefinition(
        name="privacy_retention_schedule",
        job=_retention,
        cron_schedule="20 3 * * *",
        default_status=DefaultScheduleStatus.RUNNING,
    ),
]
