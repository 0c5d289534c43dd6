"""The raw tables of the sources that Airbyte lands: the same assets as the embedded loaders', landed by syncs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, MetadataValue, multi_asset

from ingestion.airbyte import manifest
from ingestion.airbyte.connectors import CONNECTORS
from orchestration.defs.deployment import Deployment
from orchestration.defs.raw import raw_key, specs
from orchestration.failures import station
from pii_policies import load_contracts
from settings import Settings, TailraceError

PROBLEMS_SHOWN = 5


def landed_assets(settings: Settings) -> list[AssetsDefinition]:
    """A multi-asset a source that ``tailrace.yml`` gives to Airbyte, named as the embedded one it stands in for.

    Loads offline, from the manifest. Raises TailraceError when the manifest has no such source.
    """
    return [_landed(source) for source in settings.landed_by_airbyte]


def _landed(source: str) -> AssetsDefinition:
    manifest.part(source)

    @multi_asset(name=f"ingest_{source}", specs=specs(source, kinds=frozenset({"airbyte"})))
    def ingest(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
        """Sync the source's connections, hold what landed to the contract, and say what came."""
        with station("Airbyte"):
            yield from _results(source, deployment, context)

    return ingest


def _results(source: str, deployment: Deployment, context: AssetExecutionContext) -> Iterator[MaterializeResult]:
    from ingestion.airbyte import jobs, raw_contract
    from ingestion.airbyte.client import AirbyteClient
    from ingestion.airbyte.desired import connection_names, required

    settings, contracts, connector = deployment.settings, load_contracts(), CONNECTORS[source]
    airbyte = required(settings)
    section = airbyte.sources.named()[source]
    quiet = section.quiet_hours
    client = AirbyteClient(airbyte)
    try:
        synced = jobs.sync(
            client,
            connection_names(settings, source),
            patience=jobs.Patience(
                poll_seconds=airbyte.poll_seconds,
                sync_seconds=airbyte.sync_minutes * 60,
                retries=airbyte.retries,
                quiet_hours=contracts.sources[source].freshness_hours if quiet is None else quiet,
            ),
            progress=context.log.info,
        )
    finally:
        client.close()
    began = min(each.started_at for each in synced)
    lacking = getattr(section, "without", ())
    with _raw_tables(deployment) as connection:
        raw_contract.complete(connection, contracts, connector, engine=settings.warehouse.kind, lacking=lacking)
        problems = raw_contract.findings(connection, contracts, connector)
        if problems:
            more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
            raise TailraceError(f"raw table contract: {'; '.join(problems[:PROBLEMS_SHOWN])}{more}")
        counts = raw_contract.landed_since(connection, contracts, source, began - timedelta(minutes=1))
    syncs = {
        each.connection: {"job": each.job_id, "records": each.records, "bytes": each.bytes, "tries": each.tries}
        for each in synced
    }
    for table in contracts.raw_tables(source):
        new, live = counts[table.name]
        yield MaterializeResult(
            asset_key=raw_key(table),
            metadata={
                "rows_landed": new,
                "dagster/row_count": live,
                "records_of_the_sync": sum(each.records for each in synced),
                "bytes_of_the_sync": sum(each.bytes for each in synced),
                "syncs": MetadataValue.json(syncs),
                **{f"log_{each.connection}": MetadataValue.url(each.url) for each in synced},
                "complete_until": began.isoformat(),
            },
        )


@contextmanager
def _raw_tables(deployment: Deployment) -> Iterator[Any]:
    """A connection that may alter raw tables: the DuckDB file's writer, or Snowflake in Airbyte's role."""
    if deployment.settings.warehouse.kind == "duckdb":
        with deployment.warehouse.writer("raw table contract") as connection:
            yield connection
        return
    from ingestion.airbyte.snowflake import connect

    with connect(deployment.settings) as connection:
        yield connection
