"""dbt's models as assets: one build, in one child process, under the writer's lease."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from packaging.version import Version

from orchestration.dbt_build import (
    build_arguments,
    build_problem,
    dbt_executable,
    ensure_manifest,
    forget_results,
    target,
)
from orchestration.defs.deployment import Deployment
from orchestration.failures import station
from pii_policies import keys
from settings import Settings, TailraceError


class Translator(DagsterDbtTranslator):
    """Names assets as the warehouse does (schema, table), so that dbt's sources are the landed tables."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        first = "source_name" if dbt_resource_props["resource_type"] == "source" else "schema"
        return AssetKey([dbt_resource_props[first], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return dbt_resource_props["schema"]


class Dbt(DbtCliResource):
    """dbt, whose version is looked up where it is installed: ``dbt --version`` would ask PyPI, and takes seconds."""

    @cached_property
    def _cli_version(self) -> Version:
        return Version(metadata.version("dbt-core"))


def dbt_models(settings: Settings) -> AssetsDefinition:
    """Every model of the project. Raises TailraceError when the project does not parse."""
    manifest = ensure_manifest(settings)
    translator = Translator()

    @dbt_assets(manifest=manifest, name="dbt_models", dagster_dbt_translator=translator)
    def models(context: AssetExecutionContext, deployment: Deployment) -> Iterator[Any]:
        settings = deployment.settings
        dbt = Dbt(
            project_dir=str(settings.dbt_project_dir),
            profiles_dir=str(settings.dbt_project_dir),
            dbt_executable=dbt_executable(),
            target=target(settings),
        )
        forget_results(settings)
        with station("tenant keys"), deployment.warehouse.writer("tenant keys") as connection:
            rotated = keys.rotating(connection)
        if rotated:
            context.log.info(f"{len(rotated)} tenants have a new key: everything is made anew")
        with station("dbt"), deployment.warehouse.lease("dbt build", on_wait=context.log.info):
            try:
                yield from dbt.cli(
                    build_arguments(anew=bool(rotated)),
                    context=context,
                    manifest=manifest,
                    dagster_dbt_translator=translator,
                    target_path=settings.dbt_target_dir,
                ).stream()
            except DagsterDbtCliRuntimeError:
                raise TailraceError(build_problem(settings)) from None
        if rotated:
            with station("tenant keys"), deployment.warehouse.writer("tenant keys") as connection:
                keys.retire(connection, rotated)

    return models
