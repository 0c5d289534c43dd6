"""The warehouse: one small protocol, opened by configuration."""

from __future__ import annotations

from settings import Settings, TailraceError
from warehouse import positions
from warehouse.duckdb_engine import DuckDBWarehouse, quote, transaction

__all__ = ["DuckDBWarehouse", "open_warehouse", "positions", "quote", "transaction"]


def open_warehouse(settings: Settings) -> DuckDBWarehouse:
    """The warehouse that ``tailrace.yml`` names. On Snowflake, Airbyte lands and dbt builds; nothing is opened here."""
    if settings.warehouse.kind == "snowflake":
        raise TailraceError(
            "warehouse.kind snowflake: the embedded loaders land in DuckDB only; land by Airbyte and build with "
            "`dbt build --target prod`"
        )
    return DuckDBWarehouse(
        settings.warehouse_path,
        vault_path=settings.vault_path,
        memory_limit=settings.warehouse.memory_limit,
    )
