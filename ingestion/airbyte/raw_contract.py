"""The raw table contract, held after a sync and before anything reads what landed.

The SQL is what DuckDB and Snowflake have in common, over a DB-API cursor; names are compared without regard to case,
because Airbyte writes Snowflake's in upper case and the contracts' are in lower.
"""

# ruff: noqa: S608 - identifiers are the contracts', which hold letters, digits and underscores only

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from ingestion.airbyte.connectors import CDC_COLUMNS, Connector
from pii_policies import Contracts, Table
from pii_policies.compile import RAW_META

Engine = Literal["duckdb", "snowflake"]

_FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("VARCHAR", "TEXT", "STRING", "CHAR", "UUID"), "text"),
    **dict.fromkeys(("NUMBER", "DECIMAL", "NUMERIC", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "number"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), "float"),
    "BOOLEAN": "boolean",
    **dict.fromkeys(("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMP_TZ"), "timestamp"),
    "DATE": "date",
    **dict.fromkeys(("JSON", "VARIANT", "OBJECT", "ARRAY"), "json"),
}
_META_FAMILIES: Mapping[str, frozenset[str]] = {
    "_airbyte_raw_id": frozenset({"text"}),
    "_airbyte_extracted_at": frozenset({"timestamp"}),
    "_airbyte_meta": frozenset({"json"}),
    "_airbyte_generation_id": frozenset({"number"}),
    "_ab_cdc_lsn": frozenset({"number", "float"}),
    "_ab_cdc_updated_at": frozenset({"timestamp", "text"}),  # Airbyte's Postgres connector gives them as text
    "_ab_cdc_deleted_at": frozenset({"timestamp", "text"}),
}
_SNOWFLAKE_TYPES: Mapping[str, str] = {
    "TIMESTAMPTZ": "TIMESTAMP_TZ",
    "JSON": "VARIANT",
    "UUID": "VARCHAR",
    "BIGINT": "NUMBER(38, 0)",
    "INTEGER": "NUMBER(38, 0)",
}


class Connection(Protocol):
    """A DB-API connection, as DuckDB's and Snowflake's packages give."""

    def cursor(self) -> Any: ...


def findings(connection: Connection, contracts: Contracts, connector: Connector) -> list[str]:
    """What is not as the contract says, a line each; empty when all is.

    Columns and their types, Airbyte's own columns, and no table or ``raw_`` schema that no contract has.
    """
    schema = contracts.sources[connector.source].schema
    present = _columns(connection)
    tables = {table.name.lower(): table for table in contracts.raw_tables(connector.source)}
    known = {contract.schema for contract in contracts.sources.values()}
    found = [
        f"{other}: a raw schema of no contract; find out which connection lands there, and drop it"
        for other in sorted({s for s, _ in present if s.startswith("raw_")} - known)
    ]
    found += [
        f"{schema}.{name}: a table of no contract; find out which connection lands it, and drop it"
        for name in sorted({t for s, t in present if s == schema} - set(tables))
    ]
    for name, table in tables.items():
        columns = present.get((schema, name))
        if columns is None:
            found.append(f"{schema}.{name}: missing; its stream has not landed")
            continue
        found += [f"{schema}.{name}.{problem}" for problem in _table_findings(connector, table, columns)]
    return found


def _table_findings(connector: Connector, table: Table, present: Mapping[str, str]) -> list[str]:
    wanted = {column.name.lower(): _accepted(connector, table, column.name, column.type) for column in table.landed}
    wanted |= {name.lower(): frozenset() for name in connector.extra_columns(table)}
    wanted |= _META_FAMILIES
    found = [f"{name}: missing" for name in wanted if name not in present]
    found += [f"{name}: in no contract, and lands" for name in present if name not in wanted]
    found += [
        f"{name}: is {present[name]}, {' or '.join(sorted(families))} is expected"
        for name, families in wanted.items()
        if name in present and families and _family(present[name]) not in families
    ]
    return found


def _accepted(connector: Connector, table: Table, column: str, type_: str) -> frozenset[str]:
    """The families of types that a column of the contract may land in. Airbyte's `number` is a float on Snowflake."""
    if f"{table.name}.{column}" in connector.texts:
        return frozenset({"text"})
    family = _family(type_)
    return frozenset({"number", "float"}) if type_.upper().startswith("DECIMAL") else frozenset({family})


def _family(type_: str) -> str:
    return _FAMILIES.get(type_.upper().partition("(")[0].strip(), type_.lower())


def _columns(connection: Connection) -> dict[tuple[str, str], dict[str, str]]:
    """(schema, table) → column → type of everything in a raw schema."""
    rows = _rows(
        connection,
        "select lower(table_schema), lower(table_name), lower(column_name), data_type from information_schema.columns "
        "where lower(table_catalog) = lower(current_database()) and left(lower(table_schema), 4) = 'raw_' "
        "order by table_schema, table_name, ordinal_position",
    )
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, type_ in rows:
        found.setdefault((str(schema), str(table)), {})[str(column)] = str(type_)
    return found


def complete(
    connection: Connection, contracts: Contracts, connector: Connector, *, engine: Engine, lacking: Sequence[str] = ()
) -> None:
    """Give an API source's tables the columns by which every raw table tells a deleted row, and keep them true.

    Airbyte fills those for CDC only; elsewhere the connector says it in a column of its own, or not at all. What
    ``lacking`` names is made too, empty. Idempotent; tables that have not landed are left to ``findings``.
    """
    schema = contracts.sources[connector.source].schema
    present = _columns(connection)
    for table in contracts.raw_tables(connector.source):
        if table.name in lacking and (schema, table.name.lower()) not in present:
            _create(connection, table, engine)
        elif (schema, table.name.lower()) in present:
            _complete_table(connection, connector, table, present[schema, table.name.lower()], engine, lacking)


def _create(connection: Connection, table: Table, engine: Engine) -> None:
    columns = [f"{_name(column.name, engine)} {_type(column.type, engine)}" for column in table.landed]
    columns += [f"{name} {_type(RAW_META[name], engine)}" for name in RAW_META]
    _do(connection, f"create table {table.schema}.{table.name} ({', '.join(columns)})")


def _complete_table(
    connection: Connection,
    connector: Connector,
    table: Table,
    present: Mapping[str, str],
    engine: Engine,
    lacking: Sequence[str],
) -> None:
    name = f"{table.schema}.{table.name}"
    added = {column.name: column.type for column in table.landed if f"{table.name}.{column.name}" in lacking}
    if not connector.captures_changes:
        added |= {column: RAW_META[column] for column in CDC_COLUMNS}
    for column, type_ in added.items():
        if column.lower() not in present:
            _do(connection, f"alter table {name} add column {_name(column, engine)} {_type(type_, engine)}")
    marker = connector.marker_of(table.name)
    if connector.captures_changes or marker is None or marker.lower() not in present:
        return
    marked = _name(marker, engine)
    _do(
        connection,
        f"update {name} set _ab_cdc_updated_at = _airbyte_extracted_at, "
        f"_ab_cdc_deleted_at = case when {marked} then _airbyte_extracted_at end "
        f"where _ab_cdc_updated_at is null or _ab_cdc_updated_at <> _airbyte_extracted_at",
    )


def landed_since(
    connection: Connection, contracts: Contracts, source: str, since: datetime
) -> dict[str, tuple[int, int]]:
    """Table → (rows extracted since then, live rows in all)."""
    moment = since.isoformat()
    found = {}
    for table in contracts.raw_tables(source):
        ((new, live),) = _rows(
            connection,
            "select count(case when _airbyte_extracted_at >= "
            f"cast('{moment}' as timestamp with time zone) then 1 end), "
            f"count(*) - count(_ab_cdc_deleted_at) from {table.schema}.{table.name}",
        )
        found[table.name] = (int(new), int(live))
    return found


def _name(column: str, engine: Engine) -> str:
    """Quoted, since a column may be called ``end``; Airbyte's Snowflake columns are in upper case."""
    return f'"{column.upper() if engine == "snowflake" else column}"'


def _type(type_: str, engine: Engine) -> str:
    return _SNOWFLAKE_TYPES.get(type_.upper(), type_) if engine == "snowflake" else type_


def _rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _do(connection: Connection, statement: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()
