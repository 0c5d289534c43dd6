"""A second opinion on columns that are kept, and on those that nobody classified."""

from __future__ import annotations

import duckdb
import pytest

from ingestion import land
from pii_policies import load_contracts
from pii_policies.classify import suspects

CONTRACTS = load_contracts()


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("users", "tenants"):
        land.ensure_table(connection, land.raw_table(CONTRACTS.table("app", name)))
    return connection


def test_an_address_in_a_kept_column_is_reported_and_no_value_is_told(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("insert into raw_app.users (role) select 'member' from range(50)")
    con.execute("insert into raw_app.users (role, email) values ('ada@example.com', 'bob@example.com')")
    found = suspects(con, CONTRACTS)
    assert [(each.column, each.data_class) for each in found] == [("raw_app.users.role", "operational")]
    assert "ada" not in str(found[0])


def test_a_column_that_no_contract_has_is_reported_by_its_name_or_its_values(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("alter table raw_app.users add column birthDate date")
    con.execute("alter table raw_app.users add column note varchar")
    con.execute("insert into raw_app.users (note) select 'call +49 30 ' || (1234567 + i) from range(5) r(i)")
    found = {each.column: each.why for each in suspects(con, CONTRACTS)}
    assert found == {"raw_app.users.birthDate": "its name", "raw_app.users.note": "phone in its values"}


def test_what_is_treated_and_what_is_harmless_is_not_reported(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("insert into raw_app.users (email, phone, status) values ('a@example.com', '+49 30 1234567', 'active')")
    con.execute(
        "insert into raw_app.tenants (name, slug, stripe_customer_id) values ('Acorn', 'acorn', 'cus_00000001')"
    )
    assert suspects(con, CONTRACTS) == []
