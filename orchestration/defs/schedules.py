"""One job, from the sources to the product, and its schedule."""

from dagster import AssetSelection, DefaultScheduleStatus, ScheduleDefinition, define_asset_job

from settings import Settings

tailrace = define_asset_job(
    "tailrace",
    selection=AssetSelection.all(),
    description="Land what changed, gate it, build the marts, gate the rollups, publish them.",
)


def tailrace_schedule(settings: Settings) -> ScheduleDefinition:
    """On by default; a run that is still going makes the next one wait, because one run goes at a time."""
    return ScheduleDefinition(
        name="tailrace_schedule",
        job=tailrace,
        cron_schedule=settings.dagster.schedule,
        default_status=DefaultScheduleStatus.RUNNING,
    )
