"""From source tables to raw tables, and the gate on what landed. The data contracts say which tables there are."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    MarkdownMetadataValue,
    MaterializeResult,
    MetadataValue,
    asset,
    multi_asset,
    multi_asset_check,
)

from orchestration.defs.deployment import Deployment
from orchestration.failures import station
from pii_policies import Table, load_contracts
from pii_policies.keys import ensure_keys_for_raw
from quality import quarantine
from quality.contract_gates import raw_expectations
from quality.expectations import Verdict
from quality.raw_gate import check_table
from warehouse import quote

if TYPE_CHECKING:
    from ingestion.postgres import SyncReport

PREVIEW_ROWS = 5
_SYSTEMS = {"app": "product", "stripe": "stripe", "hubspot": "hubspot", "salesforce": "salesforce"}


def _tables(source: str) -> tuple[Table, ...]:
    return load_contracts().raw_tables(source)


def _source_key(table: Table) -> AssetKey:
    return AssetKey([_SYSTEMS[table.source], table.name])


def raw_key(table: Table) -> AssetKey:
    return AssetKey([table.schema, table.name])


def source_tables() -> list[AssetSpec]:
    """What the sources hold, as external assets: the left edge of the graph."""
    return [
        AssetSpec(_source_key(table), group_name=f"source_{_SYSTEMS[source]}", description=table.description)
        for source in load_contracts().sources
        for table in _tables(source)
    ]


def specs(source: str, *, kinds: frozenset[str] = frozenset({"duckdb"})) -> list[AssetSpec]:
    """The raw tables of a source, whoever lands them."""
    return [
        AssetSpec(
            raw_key(table),
            deps=[_source_key(table)],
            group_name=table.schema,
            description=f"{table.description} Grain: {table.grain}.",
            kinds=set(kinds),
            owners=[f"team:{load_contracts().sources[source].owner}"],
        )
        for table in _tables(source)
    ]


@multi_asset(name="ingest_app", specs=specs("app"))
def ingest_app(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
    """The change stream of every product database, up to now."""
    from ingestion import postgres

    with station("Postgres"):
        began = datetime.now(UTC)
        reports = postgres.sync(deployment.settings, deployment.warehouse, progress=context.log.info)
        for report in reports:
            for warning in report.warnings:
                context.log.warning(warning)
        for table in _tables("app"):
            parts = [report.tables[table.name] for report in reports if table.name in report.tables]
            yield _landed(
                deployment,
                table,
                rows=sum(part.snapshotted + part.applied for part in parts),
                deleted=sum(part.deleted for part in parts),
                size=sum(part.bytes for part in parts),
                more={"complete_until": began.isoformat(), **_stream_metadata(table, reports)},
            )


def _stream_metadata(table: Table, reports: Sequence["SyncReport"]) -> dict[str, Any]:
    """How far the databases are behind; numbers are the worst of them, so that they plot."""
    streams = {
        report.database: {
            "lsn": report.lsn,
            "lag_bytes": report.lag_bytes,
            "lag_seconds": report.lag_seconds,
            "retained_bytes": report.retained_bytes,
            "safe_bytes": report.safe_bytes,
        }
        for report in reports
    }
    metadata: dict[str, Any] = {
        "change_streams": MetadataValue.json(streams),
        "lag_bytes": MetadataValue.int(max((report.lag_bytes for report in reports), default=0)),
        "lag_seconds": MetadataValue.float(max((report.lag_seconds for report in reports), default=0.0)),
        "retained_bytes": MetadataValue.int(max((report.retained_bytes for report in reports), default=0)),
    }
    if warnings := [warning for report in reports for warning in report.warnings]:
        metadata["warnings"] = MetadataValue.text("\n".join(warnings))
    columns = {column for report in reports for column in report.unclassified.get(table.name, [])}
    if columns:
        metadata["fields_no_contract_classifies"] = ", ".join(sorted(columns))
    return metadata


@multi_asset(name="ingest_stripe", specs=specs("stripe"))
def ingest_stripe(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
    """Stripe's objects and events since the last run."""
    from ingestion import stripe

    with station("Stripe"):
        report = stripe.sync(deployment.settings, deployment.warehouse, progress=context.log.info)
        yield from _api_results(deployment, "stripe", report)


@multi_asset(name="ingest_hubspot", specs=specs("hubspot"))
def ingest_hubspot(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
    """HubSpot's companies, contacts and deals since the last run."""
    from ingestion import hubspot

    with station("HubSpot"):
        report = hubspot.sync(deployment.settings, deployment.warehouse, progress=context.log.info)
        yield from _api_results(deployment, "hubspot", report)


@multi_asset(name="ingest_salesforce", specs=specs("salesforce"))
def ingest_salesforce(context: AssetExecutionContext, deployment: Deployment) -> Iterator[MaterializeResult]:
    """Salesforce's records since the last run; empty tables where no org is configured."""
    from ingestion import salesforce

    with station("Salesforce"):
        report = salesforce.sync(deployment.settings, deployment.warehouse, progress=context.log.info)
        yield from _api_results(deployment, "salesforce", report)


@asset(
    key=AssetKey(["vault", "tenant_keys"]),
    deps=[raw_key(table) for table in _tables("app")],
    group_name="vault",
    description="A random key per tenant for pseudonyms. Nobody but the pipeline reads it.",
)
def tenant_keys(deployment: Deployment) -> MaterializeResult:
    """Make the keys of tenants that have none yet: every tenant that a landed row names."""
    with station("tenant keys"), deployment.warehouse.writer("tenant keys") as connection:
        made = ensure_keys_for_raw(connection, load_contracts())
    return MaterializeResult(metadata={"keys_made": made})


def _check_specs() -> list[AssetCheckSpec]:
    return [
        AssetCheckSpec(
            "gate", asset=raw_key(table), blocking=True, description="Holds what the data contract promises."
        )
        for source in load_contracts().sources
        for table in _tables(source)
    ]


@multi_asset_check(name="gate_raw", specs=_check_specs())
def gate_raw(deployment: Deployment) -> Iterator[AssetCheckResult]:
    """Hold the data contracts against the rows that changed; a refused table stops everything downstream of it."""
    with station("gate on raw"), deployment.warehouse.writer("gate on raw") as connection:
        for source in load_contracts().sources:
            for table in _tables(source):
                verdict = check_table(
                    connection,
                    schema=table.schema,
                    table=table.name,
                    key=table.key,
                    expectations=raw_expectations(f"{table.schema}.{table.name}"),
                )
                yield check_result(deployment, verdict, asset_key=raw_key(table), gate="raw")


def check_result(deployment: Deployment, verdict: Verdict, *, asset_key: AssetKey, gate: str) -> AssetCheckResult:
    """A verdict as Dagster shows it: what, where, on how many rows; refused rows are named in the quarantine."""
    metadata: dict[str, Any] = {"rows_checked": verdict.checked, "expectations": verdict.expectations}
    if not verdict.passed:
        path = quarantine.write(deployment.settings.quarantine_dir, gate=gate, findings=verdict.findings)
        metadata["findings"] = "; ".join(map(str, verdict.findings))
        metadata["quarantine"] = MetadataValue.path(str(path))
    return AssetCheckResult(
        asset_key=asset_key,
        check_name="gate",
        passed=verdict.passed,
        severity=AssetCheckSeverity.ERROR,
        description=metadata.get("findings", "every expectation holds"),
        metadata=metadata,
    )


def _api_results(deployment: Deployment, source: str, report: Any) -> Iterator[MaterializeResult]:
    for table in _tables(source):
        unclassified = sorted(report.unclassified.get(table.name, {}))
        skipped = getattr(report, "skipped", {}).get(table.name)
        missing = getattr(report, "missing", {}).get(table.name)
        yield _landed(
            deployment,
            table,
            rows=report.landed[table.name],
            deleted=report.deleted[table.name],
            size=None,
            more={
                "mode": report.mode,
                "rows_of_other_regions": report.filtered[table.name],
                **({"fields_no_contract_classifies": ", ".join(unclassified)} if unclassified else {}),
                **({"fields_the_source_does_not_show": ", ".join(missing)} if missing else {}),
                **({"records_left_out_until_they_can_be_read": skipped} if skipped else {}),
                **({"note": report.note} if report.note else {}),
            },
        )


def _landed(
    deployment: Deployment, table: Table, *, rows: int, deleted: int, size: int | None, more: dict[str, Any]
) -> MaterializeResult:
    with deployment.warehouse.reader("preview") as connection:
        name = f"{quote(table.schema)}.{quote(table.name)}"
        total = connection.execute(f"select count(*) from {name} where _ab_cdc_deleted_at is null").fetchone()  # noqa: S608
        preview = _preview(connection, table)
    metadata: dict[str, Any] = {
        "rows_landed": rows,
        "rows_deleted": deleted,
        "dagster/row_count": total[0] if total else 0,
        "preview": preview,
        **more,
    }
    if size is not None:
        metadata["bytes_landed"] = size
    return MaterializeResult(asset_key=raw_key(table), metadata=metadata)


def _preview(connection: Any, table: Table) -> MarkdownMetadataValue:
    """A few rows, of the columns that need no treatment: no personal value is shown."""
    shown = [column.name for column in table.landed if column.data_class.treatment == "keep"]
    if not shown:
        return MetadataValue.md("no column of this table may be shown")
    columns = ", ".join(f"{quote(name)}::varchar" for name in shown)
    rows = connection.execute(
        f"select {columns} from {quote(table.schema)}.{quote(table.name)} "  # noqa: S608
        f"where _ab_cdc_deleted_at is null order by _airbyte_extracted_at desc limit {PREVIEW_ROWS}"
    ).fetchall()
    return MetadataValue.md(_markdown(shown, rows))


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(cell if cell is not None else "").replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(columns), line(["---"] * len(columns)), *map(line, rows)])
