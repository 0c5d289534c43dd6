"""What a contract may hold in raw has in staging the type that its logical type promises, and the same value."""

# ruff: noqa: S608 - the SQL is put together from the names of the test itself

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import sqlglot

from pii_policies import load_contracts
from pii_policies.compile import _treated, staging_type
from pii_policies.contracts import Column
from pii_policies.contracts import _column as read_column
from tests.pii_policies.support import Dbt

# Logical type, physical type, a raw value, and the staged one.
HELD = {
    "a_time": ("string", "TIME", "'24:00:00'", "24:00:00"),
    "a_uuid": ("string", "UUID", "uuid()", None),
    "a_smallint": ("integer", "SMALLINT", "-32768", "-32768"),
    "a_float": ("number", "FLOAT", "0.1", "0.1"),
    "a_double": ("number", "DOUBLE", "0.1", "0.1"),
    "a_decimal": ("number", "DECIMAL(38,10)", "1.5", "1.5000000000"),
    "a_timestamp": ("timestamp", "TIMESTAMP", "'2026-01-31 23:30:00.5'", "2026-01-31 23:30:00.5+00"),
    "a_timestamptz": ("timestamp", "TIMESTAMPTZ", "'2026-01-31 23:30:00+02'", "2026-01-31 21:30:00+00"),
    "some_numbers": ("array", "INTEGER[]", "[1, null, 3]", "[1,null,3]"),
    "some_texts": ("array", "VARCHAR[]", "['a,b', null]", '["a,b",null]'),
    "a_document": ("object", "JSON", "'{\"a\": 1}'", '{"a": 1}'),
}


def column(name: str) -> Column:
    logical, physical, _, _ = HELD[name]
    entry = {"name": name, "logicalType": logical, "physicalType": physical, "classification": "operational"}
    return read_column("test", entry | {"description": "A value."}, load_contracts().classes, element=False)


@pytest.fixture(scope="module")
def compiled(dbt: Dbt) -> dict[str, str]:
    """By target, the select of all columns as staging has it."""
    columns = [f"{_treated(column(name)).sql} as {name}" for name in HELD]
    return {
        target: dbt.compiled(f"select {', '.join(columns)} from source", target=target)
        for target in ("test", "snowflake")
    }


def test_every_physical_type_becomes_its_logical_type(compiled: dict[str, str], tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"create table source ({', '.join(f'{name} {held[1]}' for name, held in HELD.items())})")
        con.execute(f"insert into source values ({', '.join(held[2] for held in HELD.values())}), "
                    f"({', '.join('null' for _ in HELD)})")  # fmt: skip
        con.execute(f"create table staged as {compiled['test']}")
        types = {row[0]: row[1] for row in con.execute("describe staged").fetchall()}
        wanted = {name: staging_type(column(name)) for name in HELD}
        wanted = {name: "json" if "json" in kind else kind for name, kind in wanted.items()}
        for name, kind in wanted.items():
            con.execute(f"create or replace table probe (value {kind})")
            assert con.execute("select data_type from duckdb_columns() where table_name = 'probe'").fetchone() == (
                types[name],
            )
        rows = con.execute(f"select {', '.join(f'{name}::varchar' for name in HELD)} from staged").fetchall()
        for name, got in zip(HELD, rows[0], strict=True):
            assert HELD[name][3] in (None, got), name
        assert rows[1] == (None,) * len(HELD)


def test_snowflakes_sql_parses(compiled: dict[str, str]) -> None:
    assert sqlglot.parse_one(compiled["snowflake"], read="snowflake")
