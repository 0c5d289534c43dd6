"""What landed is held to the contract, on DuckDB tables of the shape in which Airbyte would land them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from ingestion.airbyte import manifest, raw_contract
from ingestion.airbyte.connectors import CONNECTORS
from pii_policies import load_contracts
from tests.ingestion.airbyte.landing import airbyte_columns, create_tables, land_row

CONTRACTS = load_contracts()
LACKING = {source: tuple(part["connector_lacks"]) for source, part in manifest.build(CONTRACTS)["sources"].items()}


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def findings(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    return raw_contract.findings(connection, CONTRACTS, CONNECTORS[source])


def complete(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    raw_contract.complete(connection, CONTRACTS, CONNECTORS[source], engine="duckdb", lacking=LACKING[source])


@pytest.mark.parametrize("source", ["app", "stripe", "hubspot"])
def test_tables_as_airbyte_lands_them_pass(source: str, connection: duckdb.DuckDBPyConnection) -> None:
    create_tables(connection, source)
    complete(connection, source)
    complete(connection, source)  # twice is once
    assert findings(connection, source) == []


@pytest.mark.parametrize("upper", [False, True])
def test_the_case_of_names_does_not_count(upper: bool, connection: duckdb.DuckDBPyConnection) -> None:
    create_tables(connection, "app", upper=upper)
    assert findings(connection, "app") == []


def test_the_embedded_loaders_tables_pass_too(connection: duckdb.DuckDBPyConnection) -> None:
    from ingestion.land import ensure_table, raw_table

    for table in CONTRACTS.raw_tables("app"):
        ensure_table(connection, raw_table(table))
    assert findings(connection, "app") == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("drop table raw_app.users", "raw_app.users: missing"),
        ("alter table raw_app.users drop column email", "raw_app.users.email: missing"),
        ("alter table raw_app.users add column password_hash varchar", "raw_app.users.password_hash: in no contract"),
        ("alter table raw_app.users alter created_at type varchar", "raw_app.users.created_at: is VARCHAR, timestamp"),
        ("alter table raw_app.users drop column _airbyte_meta", "raw_app.users._airbyte_meta: missing"),
        ("alter table raw_app.users drop column _ab_cdc_deleted_at", "raw_app.users._ab_cdc_deleted_at: missing"),
        ("alter table raw_app.users alter _ab_cdc_lsn type varchar", "raw_app.users._ab_cdc_lsn: is VARCHAR"),
        ("create table raw_app.users_x7f (id varchar)", "raw_app.users_x7f: a table of no contract"),
        ("create schema raw_shadow; create table raw_shadow.t (a int)", "raw_shadow: a raw schema of no contract"),
    ],
)
def test_what_is_not_in_the_contract_is_found(
    statement: str, finding: str, connection: duckdb.DuckDBPyConnection
) -> None:
    create_tables(connection, "app")
    connection.execute(statement)
    (found,) = findings(connection, "app")
    assert found.startswith(finding)


def test_an_airbyte_schema_of_its_own_is_none_of_ours(connection: duckdb.DuckDBPyConnection) -> None:
    create_tables(connection, "app")
    connection.execute("create schema airbyte_internal; create table airbyte_internal.tmp (a int)")
    assert findings(connection, "app") == []


def test_an_api_source_without_completion_lacks_what_staging_reads(connection: duckdb.DuckDBPyConnection) -> None:
    create_tables(connection, "hubspot")
    assert "raw_hubspot.deals._ab_cdc_deleted_at: missing" in findings(connection, "hubspot")


def test_a_deleted_row_is_marked_and_one_that_came_back_is_not(connection: duckdb.DuckDBPyConnection) -> None:
    create_tables(connection, "stripe")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    land_row(connection, "stripe", "customers", at=first, id="cus_1", is_deleted=False)
    land_row(connection, "stripe", "customers", at=first, id="cus_2", is_deleted=True)
    complete(connection, "stripe")
    marked = "select id from raw_stripe.customers where _ab_cdc_deleted_at is not null order by id"
    assert connection.execute(marked).fetchall() == [("cus_2",)]
    later = first + timedelta(hours=1)
    connection.execute(
        "update raw_stripe.customers set is_deleted = not is_deleted, _airbyte_extracted_at = ?", [later]
    )
    complete(connection, "stripe")
    assert connection.execute(marked).fetchall() == [("cus_1",)]


def test_rows_are_counted_by_when_they_were_extracted(connection: duckdb.DuckDBPyConnection) -> None:
    create_tables(connection, "app")
    began = datetime(2026, 1, 1, tzinfo=UTC)
    land_row(connection, "app", "plans", at=began - timedelta(hours=1), id="free")
    land_row(connection, "app", "plans", at=began, id="pro")
    land_row(connection, "app", "plans", at=began, id="old", _ab_cdc_deleted_at="2026-01-01T00:00:00Z")
    counts = raw_contract.landed_since(connection, CONTRACTS, "app", began)
    assert counts["plans"] == (2, 2)
    assert counts["users"] == (0, 0)


def test_no_column_that_must_not_land_is_in_the_shape(connection: duckdb.DuckDBPyConnection) -> None:
    for source in ("app", "stripe", "hubspot"):
        for table in CONTRACTS.raw_tables(source):
            assert not {c.name for c in table.columns if not c.data_class.lands} & set(
                airbyte_columns(source, table.name)
            )
