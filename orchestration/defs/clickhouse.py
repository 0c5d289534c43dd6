"""Publishing into ClickHouse, where one is configured, behind the same gates as into the product."""

from collections.abc import Iterator

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, AssetSpec, MaterializeResult, multi_asset

from orchestration.dbt_build import ensure_manifest
from orchestration.defs.deployment import Deployment
from orchestration.defs.publish import complete_until
from orchestration.failures import station
from quality.rollup_gate import rollup_names
from serving.clickhouse.contract import load_details
from settings import Settings


def clickhouse_assets(settings: Settings) -> list[AssetsDefinition]:
    """One step that publishes every model that declares ``meta.clickhouse``; none where none is configured."""
    if settings.serving.clickhouse is None:
        return []
    details = load_details(ensure_manifest(settings))
    gated = [["rollups", name] for name in rollup_names()]

    @multi_asset(
        name="publish_clickhouse",
        specs=[
            AssetSpec(
                AssetKey(["clickhouse", detail.name]),
                # Of the rollups too: what their gate refuses stops everything that is published.
                deps=[AssetKey(path) for path in (list(detail.contract.source), *gated)],
                group_name="product",
                description="Per user, endpoint and minute, as dashboards add it up in ClickHouse.",
                kinds={"clickhouse"},
            )
            for detail in details
        ],
    )
    def publish_clickhouse(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
        from serving.clickhouse.publish import publish

        with station("publish to ClickHouse"):
            with deployment.warehouse.reader("publish to ClickHouse") as connection:
                report = publish(
                    deployment.settings,
                    connection,
                    manifest_path=ensure_manifest(deployment.settings),
                    run_id=context.run_id,
                    as_of=complete_until(context.instance),
                    progress=context.log.info,
                )
        if report is None:  # it was taken out of the configuration since this was loaded
            return
        for detail in details:
            yield MaterializeResult(
                asset_key=AssetKey(["clickhouse", detail.name]),
                metadata={
                    "dagster/row_count": sum(each.rows[detail.name] for each in report.databases),
                    "rows_written": report.written,
                    "rows_of_no_tenant_held_back": report.unattributed.get(detail.name, 0),
                    "as_of": report.as_of.isoformat(timespec="seconds"),
                },
            )

    return [publish_clickhouse]
