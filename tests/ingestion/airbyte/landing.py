"""Raw tables as Airbyte's destination makes them, on DuckDB: its types, its own columns, what the connector adds."""

# ruff: noqa: S608 - identifiers are the contracts'

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb

from ingestion.airbyte import manifest
from ingestion.airbyte.connectors import CONNECTORS
from pii_policies import load_contracts

META = {
    "_airbyte_raw_id": "VARCHAR",
    "_airbyte_extracted_at": "TIMESTAMPTZ",
    "_airbyte_meta": "JSON",
    "_airbyte_generation_id": "BIGINT",
}
# Airbyte knows no UUID; a number is a float; the Postgres connector gives its stamps as text, its LSN as a number.
CDC = {"_ab_cdc_lsn": "DOUBLE", "_ab_cdc_updated_at": "VARCHAR", "_ab_cdc_deleted_at": "VARCHAR"}
EXTRA = {"updated": "BIGINT", "is_deleted": "BOOLEAN", **CDC}


def _type(type_: str) -> str:
    if type_ in ("UUID",):
        return "VARCHAR"
    if type_ in ("INTEGER", "BIGINT"):
        return "DECIMAL(38,0)"
    return "DOUBLE" if type_.startswith("DECIMAL") else type_


def airbyte_columns(source: str, table: str) -> dict[str, str]:
    """Column → type of what Airbyte would land of a stream."""
    (stream,) = [each for each in manifest.part(source)["streams"] if each["name"] == table] or [{"fields": []}]
    contract = {column.name: column.type for column in load_contracts().table(source, table).landed}
    texts = CONNECTORS[source].texts
    types = {
        name: "VARCHAR" if f"{table}.{name}" in texts else _type(contract[name]) if name in contract else EXTRA[name]
        for name in stream["fields"]
    }
    return types | META


def create_tables(connection: duckdb.DuckDBPyConnection, source: str, *, upper: bool = False) -> None:
    """Every stream's table, empty."""
    part = manifest.part(source)
    connection.execute(f"create schema if not exists {part['namespace']}")
    for stream in part["streams"]:
        columns = ", ".join(
            f'"{name.upper() if upper else name}" {type_}'
            for name, type_ in airbyte_columns(source, stream["name"]).items()
        )
        connection.execute(f"create table if not exists {part['namespace']}.{stream['name']} ({columns})")


def land_row(connection: duckdb.DuckDBPyConnection, source: str, table: str, *, at: datetime, **values: Any) -> None:
    """One row, of which the rest is null."""
    row = {"_airbyte_raw_id": "r", "_airbyte_extracted_at": at, "_airbyte_generation_id": 0, **values}
    names = ", ".join(f'"{name}"' for name in row)
    schema = manifest.part(source)["namespace"]
    marks = ", ".join("?" for _ in row)
    connection.execute(f"insert into {schema}.{table} ({names}) values ({marks})", list(row.values()))
