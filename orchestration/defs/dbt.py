"""dbt's models as assets: one build, in one child process, under the writer's lease."""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from orchestration.dbt_build import build_arguments, dbt_executable, ensure_manifest, target
from orchestration.defs.deployment import Deployment
from orchestration.failures import station
from settings import Settings


class Translator(DagsterDbtTranslator):
    """Names assets as the warehouse does (schema, table), so that dbt's sources are the landed tables."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        first = "source_name" if dbt_resource_props["resource_type"] == "source" else "schema"
        return AssetKey([dbt_resource_props[first], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return dbt_resource_props["schema"]


def dbt_models(settings: Settings) -> AssetsDefinition:
    """Every model of the project. Raises TailraceError when the project does not parse."""
    manifest = ensure_manifest(settings)
    translator = Translator(settings=DagsterDbtTranslatorSettings(enable_source_tests_as_checks=False))

    @dbt_assets(manifest=manifest, name="dbt_models", dagster_dbt_translator=translator)
    def models(context: AssetExecutionContext, deployment: Deployment) -> Iterator[Any]:
        settings = deployment.settings
        dbt = DbtCliResource(
            project_dir=str(settings.dbt_project_dir),
            profiles_dir=str(settings.dbt_project_dir),
            dbt_executable=dbt_executable(),
            target=target(settings),
        )
        with station("dbt"), deployment.warehouse.lease("dbt build", on_wait=context.log.info):
            yield from dbt.cli(
                build_arguments(),
                context=context,
                manifest=manifest,
                dagster_dbt_translator=translator,
                target_path=settings.dbt_target_dir,
            ).stream()

    return models
