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
from orchestration.rights import retain, rights_of
from privacy import requests
from privacy.rights import Progress
from settings import Settings


def _job(kind: str, act: Callable[[Settings, Progress], list[Path]], description: str) -> JobDefinition:
    @op(name=f"exercise_{kind}", description=description)
    def exercise(context: OpExecutionContext, deployment: Deployment) -> None:
        with station(kind):
            for path in act(deployment.settings, context.log.info):
                context.log.info(f"receipt {path}")

    @job(name=f"privacy_{kind}", description=description, executor_def=in_process_executor)
    def exercised() -> None:
        exercise()

    return exercised


def _waiting(kind: str) -> Callable[[Settings, Progress], list[Path]]:
    handle = requests.handler(kind)
    return lambda settings, progress: handle(rights_of(settings, progress=progress))


_retention = _job(
    "retention", lambda settings, progress: retain(settings, progress=progress), "Empty what is past its class's days."
)
JOBS = [
    *(_job(kind, _waiting(kind), f"Exercise every waiting request: {kind}.") for kind in requests.KINDS),
    _retention,
]

SCHEDULES = [
    ScheduleDefinition(
        name="privacy_retention_schedule",
        job=_retention,
        cron_schedule="20 3 * * *",
        default_status=DefaultScheduleStatus.RUNNING,
    ),
]
