"""The one code location: assets from source tables to published rollups, their gates, a job and its schedule."""

from __future__ import annotations

from dagster import Definitions, in_process_executor

from orchestration.environment import prepare
from settings import load_settings

_settings = load_settings()
prepare(_settings)

from orchestration.defs import airbyte, clickhouse, dbt, privacy, publish, raw, schedules  # noqa: E402  (dbt reads the environment just prepared)
from orchestration.defs.deployment import Deployment  # noqa: E402

_embedded = {
    "app": raw.ingest_app,
    "stripe": raw.ingest_stripe,
    "hubspot": raw.ingest_hubspot,
    "salesforce": raw.ingest_salesforce,
}

defs = Definitions(
    assets=[
        *raw.source_tables(),
        *(asset for source, asset in _embedded.items() if source not in _settings.landed_by_airbyte),
        *airbyte.landed_assets(_settings),
        raw.tenant_keys,
        dbt.dbt_models(_settings),
        publish.publish,
        *clickhouse.clickhouse_assets(_settings),
        publish.analytics_file(_settings),
    ],
    asset_checks=[raw.gate_raw, publish.gate_rollups],
    jobs=[schedules.tailrace, *privacy.JOBS],
    schedules=[schedules.tailrace_schedule(_settings), *privacy.SCHEDULES],
    resources={"deployment": Deployment()},
    # DuckDB has one writer: steps of a run take turns in one process, and save its start-up a step.
    executor=in_process_executor,
)
