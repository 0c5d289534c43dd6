"""What exercising a right needs of the pipeline: to read the sources, to build anew, to publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ingestion.airbyte.desired import required
from ingestion.airbyte.snowflake import connect
from orchestration.dbt_build import build, ensure_manifest
from orchestration.environment import prepare
from pii_policies import load_contracts
from pii_policies.keys import ensure_keys_for_raw
from privacy import retention, snowflake_retention
from privacy.rights import Rights, operator
from serving.publish import PublishReport
from settings import Settings, TailraceError
from warehouse import DuckDBWarehouse, open_warehouse

Progress = Callable[[str], None]


def rights_of(settings: Settings, *, progress: Progress = lambda text: None) -> Rights:
    """The rights of persons and tenants in this deployment, exercised by whoever runs this process.

    Raises TailraceError on Snowflake, where of all of them only retention is (``retain``).
    """
    if settings.warehouse.kind == "snowflake":
        raise TailraceError(
            "warehouse.kind snowflake: this right is exercised on DuckDB only; delete by hand (docs/rights.md), then "
            "`tailrace privacy expiry` states when the rows are gone"
        )
    prepare(settings)
    warehouse = open_warehouse(settings)
    return Rights(
        settings=settings,
        warehouse=warehouse,
        rebuild=partial(rebuild, settings, warehouse),
        resync=partial(resync, settings, warehouse),
        forget_published=partial(forget_published, settings),
        actor=operator(),
        progress=progress,
    )


def retain(settings: Settings, *, progress: Progress = lambda text: None) -> list[Path]:
    """Enforce retention in the warehouse of this deployment; the receipts, none where nothing was due."""
    if settings.warehouse.kind != "snowflake":
        path = retention.enforce(rights_of(settings, progress=progress))
        return [] if path is None else [path]
    with connect(settings) as connection:
        cursor = connection.cursor()
        snowflake_retention.require_sight(cursor)
        return snowflake_retention.enforce(settings, cursor, databases=snowflake_databases(settings), actor=operator())


def snowflake_databases(settings: Settings) -> list[str]:
    """The databases of the account that hold persons' data: where Airbyte lands, and where dbt builds."""
    lands_in = required(settings).destination.database
    return sorted({lands_in, os.environ.get("SNOWFLAKE_DATABASE") or lands_in})


def rebuild(settings: Settings, warehouse: DuckDBWarehouse, progress: Progress) -> None:
    """Build every model, hold the gates on the rollups, publish, and write the analytics file anew.

    Raises TailraceError when the build or a gate refuses: then nothing is published.
    """
    from serving.analytics import write_analytics_file

    with warehouse.writer("tenant keys", on_wait=progress) as con:
        ensure_keys_for_raw(con, load_contracts())
    with warehouse.lease("dbt build", on_wait=progress):
        build(settings)
    with warehouse.writer("analytics file", on_wait=progress) as con:
        write_analytics_file(con, settings.analytics_path)
    publish_built(settings, warehouse, progress)


def publish_built(
    settings: Settings, warehouse: DuckDBWarehouse, progress: Progress, *, verify: bool = False
) -> PublishReport | None:
    """Hold the gates on what was built and publish the rollups, and the details to ClickHouse where one is configured.

    None, and nothing done, where nothing was ever landed. Raises TailraceError when a gate refuses: then nothing is
    published.
    """
    import uuid

    from dagster import AssetKey, DagsterInstance

    from orchestration.defs.publish import complete_until
    from quality.contract_gates import check_staging, staging_models
    from quality.rollup_gate import check_rollup, rollup_names
    from serving.clickhouse.publish import publish as publish_details
    from serving.publish import publish

    with warehouse.writer("gates before publishing", on_wait=progress) as con:
        verdicts = [check_staging(con, name) for name in staging_models()]
        verdicts += [check_rollup(con, name) for name in rollup_names()]
    refused = [str(finding) for verdict in verdicts for finding in verdict.findings]
    if refused:
        raise TailraceError(f"gate: {refused[0]}; mend that, then run the same command again")
    with DagsterInstance.get() as instance:
        if instance.get_latest_materialization_event(AssetKey(["raw_app", "tenants"])) is None:
            return None
        as_of = complete_until(instance)
    manifest, run_id = ensure_manifest(settings), str(uuid.uuid4())
    with warehouse.reader("publish") as con:
        report = publish(
            settings, con, manifest_path=manifest, run_id=run_id, as_of=as_of, verify=verify, progress=progress
        )
        publish_details(settings, con, manifest_path=manifest, run_id=run_id, as_of=as_of, progress=progress)
    return report


def forget_published(settings: Settings, tenant: str) -> dict[str, int]:
    """Drop what was kept of a tenant's earlier published versions; rows by database."""
    from serving.clickhouse.publish import forget as forget_details
    from serving.rollback import forget

    details = {f"ClickHouse {name}": rows for name, rows in forget_details(settings, tenant=tenant).items()}
    return forget(settings, tenant=tenant) | details


def resync(settings: Settings, warehouse: DuckDBWarehouse, progress: Progress) -> None:
    """Land what changed in every source that the embedded loaders read."""
    from ingestion import hubspot, postgres, salesforce, stripe

    postgres.sync(settings, warehouse, progress=progress)
    stripe.sync(settings, warehouse, progress=progress)
    hubspot.sync(settings, warehouse, progress=progress)
    salesforce.sync(settings, warehouse, progress=progress)
