"""The deployment as a Dagster resource: settings and the warehouse, read when a run needs them, not at load."""

from functools import cached_property

from dagster import ConfigurableResource

from orchestration.environment import prepare
from settings import Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse


class Deployment(ConfigurableResource):
    """Gives assets the configuration named by ``TAILRACE_CONFIG`` and the environment."""

    @cached_property
    def settings(self) -> Settings:
        settings = load_settings()
        prepare(settings)
        return settings

    @cached_property
    def warehouse(self) -> DuckDBWarehouse:
        return open_warehouse(self.settings)
