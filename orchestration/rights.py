"""What exercising a right needs of the pipeline: to read the sources, to build anew, to publish."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from orchestration.dbt_build import build, ensure_manifest
from orchestration.environment import prepare
from pii_policies import load_contracts
from pii_policies.keys import ensure_keys_for_raw
from privacy.rights import Rights, operator
from settings import Settings, TailraceError
from warehouse import DuckDBWarehouse, open_warehouse

Progress = Callable[[str], None]


def rights_of(settings: Settings, *, progress: Progress = lambda text: None) -> Rights:
    """The rights of persons and tenants in this deployment, exercised by whoever runs this process."""
    prepare(settings)
    warehouse = open_warehouse(settings)
    return Rights(
        settings=settings,
        warehouse=warehouse,
        rebuild=partial(rebuild, settings, warehouse),
        resync=partial(resync, settings, warehouse),
        actor=operator(),
        progress=progress,
    )


def rebuild(settings: Settings, warehouse: DuckDBWarehouse, progress: Progress) -> None:
    """Build every model, hold the gates on the rollups, publish, and write the analytics file anew.

    Raises TailraceError when the build or a gate refuses: then nothing is published.
    """
    from quality.contract_gates import check_staging, staging_models
    from quality.rollup_gate import check_rollup, rollup_names
    from serving.analytics import write_analytics_file

    with warehouse.writer("tenant keys", on_wait=progress) as con:
        ensure_keys_for_raw(con, load_contracts())
    with warehouse.lease("dbt build", on_wait=progress):
        build(settings)
    with warehouse.writer("analytics file", on_wait=progress) as con:
        write_analytics_file(con, settings.analytics_path)
        verdicts = [check_staging(con, name) for name in staging_models()]
        verdicts += [check_rollup(con, name) for name in rollup_names()]
    refused = [str(finding) for verdict in verdicts for finding in verdict.findings]
    if refused:
        raise TailraceError(f"gate: {refused[0]}; mend that, then run the same command again")
    _publish(settings, warehouse, progress)


def _publish(settings: Settings, warehouse: DuckDBWarehouse, progress: Progress) -> None:
    """What the product shows follows the build; where nothing was ever published there is nothing to follow."""
    import uuid

    from dagster import AssetKey, DagsterInstance

    from orchestration.defs.publish import complete_until
    from serving.publish import publish

    with DagsterInstance.get() as instance:
        if instance.get_latest_materialization_event(AssetKey(["raw_app", "tenants"])) is None:
            return
        as_of = complete_until(instance)
    with warehouse.reader("publish") as con:
        manifest = ensure_manifest(settings)
        publish(settings, con, manifest_path=manifest, run_id=str(uuid.uuid4()), as_of=as_of, progress=progress)


def resync(settings: Settings, warehouse: DuckDBWarehouse, progress: Progress) -> None:
    """Land what changed in every source that the embedded loaders read."""
    from ingestion import hubspot, postgres, salesforce, stripe

    postgres.sync(settings, warehouse, progress=progress)
    stripe.sync(settings, warehouse, progress=progress)
    hubspot.sync(settings, warehouse, progress=progress)
    salesforce.sync(settings, warehouse, progress=progress)
