"""The gate on rollups, and what may only run behind it: publishing into the product, and the analytics file."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DagsterInstance,
    MaterializeResult,
    MetadataValue,
    asset,
    multi_asset,
    multi_asset_check,
)

from orchestration.dbt_build import ensure_manifest, models
from orchestration.defs.deployment import Deployment
from orchestration.defs.raw import check_result
from orchestration.failures import station
from quality.contract_gates import check_staging, staging_models
from quality.rollup_gate import check_rollup, rollup_names
from serving.analytics import SCHEMAS, write_analytics_file
from settings import Settings, TailraceError


@multi_asset_check(
    name="gate_rollups",
    specs=[
        AssetCheckSpec("gate", asset=AssetKey(["rollups", name]), blocking=True, description="Holds before publishing.")
        for name in rollup_names()
    ]
    + [
        AssetCheckSpec("gate", asset=AssetKey(["staging", name]), blocking=True, description="Treated values look so.")
        for name in staging_models()
    ],
)
def gate_rollups(deployment: Deployment) -> Iterator[AssetCheckResult]:
    """Check what treatments left in staging, then every rollup whole, and against the facts it came from."""
    with station("gate on rollups"), deployment.warehouse.writer("gate on rollups") as connection:
        for name in staging_models():
            verdict = check_staging(connection, name)
            yield check_result(deployment, verdict, asset_key=AssetKey(["staging", name]), gate="staging")
        for name in rollup_names():
            verdict = check_rollup(connection, name)
            yield check_result(deployment, verdict, asset_key=AssetKey(["rollups", name]), gate="rollups")


@multi_asset(
    name="publish",
    specs=[
        AssetSpec(
            AssetKey(["tenant_analytics", name]),
            deps=[AssetKey(["rollups", each]) for each in rollup_names()],
            group_name="product",
            description="As each tenant reads it in the product, under row-level security.",
            kinds={"postgres"},
        )
        for name in rollup_names()
    ],
)
def publish(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
    """Every rollup to every home of tenants, in one transaction a home."""
    from serving.publish import publish as publish_rollups

    with station("publish"):
        with deployment.warehouse.reader("publish") as connection:
            report = publish_rollups(
                deployment.settings,
                connection,
                manifest_path=ensure_manifest(deployment.settings),
                run_id=context.run_id,
                as_of=complete_until(context.instance),
                progress=context.log.info,
            )
        for name in rollup_names():
            parts = {each.home.name: each.tables[name] for each in report.homes if name in each.tables}
            yield MaterializeResult(
                asset_key=AssetKey(["tenant_analytics", name]),
                metadata={
                    "dagster/row_count": sum(part.rows for part in parts.values()),
                    "rows_changed": sum(part.written + part.deleted for part in parts.values()),
                    "rows_of_no_tenant_held_back": report.unattributed.get(name, 0),
                    "held": sum(len(each.held) for each in report.homes),
                    "as_of": report.as_of.isoformat(timespec="seconds"),
                    "homes": MetadataValue.json({each: asdict(part) for each, part in parts.items()}),
                },
            )


def complete_until(instance: DagsterInstance) -> datetime:
    """When the last landing of the product's databases began: what was committed before is in the rollups."""
    event = instance.get_latest_materialization_event(AssetKey(["raw_app", "tenants"]))
    if event is None or event.asset_materialization is None:
        raise TailraceError("nothing has been landed from Postgres yet; run the whole job once")
    return datetime.fromisoformat(str(event.asset_materialization.metadata["complete_until"].value))


def analytics_file(settings: Settings) -> AssetsDefinition:
    """The asset that writes the file analysts read, downstream of every model in it."""

    @asset(
        key=AssetKey(["analytics", "file"]),
        deps=[AssetKey([schema, name]) for schema, name in models(settings) if schema in SCHEMAS],
        group_name="analysts",
        description="Marts and rollups in a DuckDB file of their own, swapped in whole; `tailrace sql` reads it.",
        kinds={"duckdb"},
    )
    def analytics_file(deployment: Deployment) -> MaterializeResult:
        with station("analytics file"):
            path = deployment.settings.analytics_path
            with deployment.warehouse.reader("analytics file") as connection:
                report = write_analytics_file(connection, path)
        return MaterializeResult(
            metadata={
                "path": MetadataValue.path(str(path)),
                "bytes": report.bytes,
                "rows": MetadataValue.json(report.rows),
            }
        )

    return analytics_file
