"""Nothing personal leaves raw untreated: values are planted in every landed column and looked for in staging."""

# ruff: noqa: S608 - names come from the contracts, whose loader lets identifiers through only

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import duckdb
import pytest

from ingestion import land
from pii_policies import Column, Contracts, Table, load_contracts
from pii_policies.compile import RAW_META, raw_tables_macro, staging_columns, staging_key, staging_name
from pii_policies.keys import ensure_keys_for_raw
from pii_policies.treatments import pseudonymise
from tests.pii_policies.support import Dbt

CONTRACTS = load_contracts()
TABLES = list(CONTRACTS.tables())
SPACE = UUID(int=7)
ONE, TWO = str(uuid5(SPACE, "tenant one")), str(uuid5(SPACE, "tenant two"))
PERSON = str(uuid5(SPACE, "a person"))
MARK = "Canary"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
LATER = FIRST + timedelta(days=1)
ADDRESS = "198.51.100.77"
SUBSCRIPTION = {
    "id": "sub_1",
    "customer": "cus_one",
    "status": "active",
    "currency": "eur",
    "description": f"{MARK} in an event",
    "discounts": ["di_1"],
    "trial_end": None,
    "canceled_at": 1767225600,
    "ended_at": None,
    "pause_collection": None,
    "metadata": {"who": f"{MARK} in an event"},
    "items": {
        "data": [
            {
                "metadata": {"who": f"{MARK} in an event"},
                "quantity": 3,
                "price": {"id": "price_1", "unit_amount": 900, "recurring": {"interval": "year", "interval_count": 1}},
            }
        ]
    },
}
DISCOUNT = {
    "id": "di_1",
    "customer": None,
    "subscription": "sub_1",
    "start": 1767225600,
    "end": None,
    "source": {"type": "coupon", "coupon": "half", "who": MARK},
}

# What makes a row what it is; all other columns hold what their class asks for.
ROWS: dict[str, list[dict[str, Any]]] = {
    "app.tenants": [{"id": ONE}, {"id": TWO}],
    **{
        table.label: [{"tenant_id": ONE}, {"tenant_id": TWO}]
        for table in CONTRACTS.raw_tables("app")
        if table.name not in ("tenants", "plans")
    },
    "stripe.customers": [
        {"id": "cus_one", "metadata": {"tenant_id": ONE.upper(), "who": MARK}},
        {"id": "cus_late", "metadata": {"who": MARK}},
        {"id": "cus_strange", "metadata": {"tenant_id": str(uuid5(SPACE, "no tenant")), "who": MARK}},
    ],
    "stripe.subscriptions": [{"id": "sub_1", "customer": "cus_one", "items": SUBSCRIPTION["items"]}],
    "stripe.invoices": [
        {"id": "in_one", "customer": "cus_one"},
        {"id": "in_late", "customer": "cus_late"},
        {"id": "in_strange", "customer": "cus_strange"},
    ],
    "stripe.charges": [{"id": "ch_one", "customer": "cus_one"}],
    "stripe.refunds": [{"id": "re_one", "charge": "ch_one"}],
    "stripe.discounts": [{"id": "di_1", "customer": None, "subscription": "sub_1", "source": DISCOUNT["source"]}],
    "stripe.subscription_items": [{"id": "si_1", "subscription": "sub_1"}],
    "stripe.subscription_schedules": [{"id": "sub_sched_1", "customer": "cus_one"}],
    "stripe.invoice_line_items": [{"id": "il_1", "invoice": "in_one"}],
    "stripe.credit_notes": [{"id": "cn_1", "customer": "cus_one"}],
    "stripe.payment_intents": [{"id": "pi_1", "customer": "cus_one"}],
    "stripe.disputes": [{"id": "dp_1", "charge": "ch_one"}],
    "stripe.balance_transactions": [
        {"id": "txn_1", "source": "ch_one"},
        {"id": "txn_2", "source": "re_one"},
        {"id": "txn_3", "source": "dp_1"},
    ],
    "stripe.meter_event_summaries": [{"id": "mtr_1/cus_one/1767225600", "customer": "cus_one"}],
    "stripe.events": [
        {"id": "evt_1", "type": "customer.subscription.updated", "data": {"object": SUBSCRIPTION}},
        {"id": "evt_2", "type": "customer.discount.created", "data": {"object": DISCOUNT}},
        {"id": "evt_3", "type": "customer.updated", "data": {"object": {"id": "cus_one", "name": MARK}}},
    ],
    "hubspot.companies": [{"id": "10", "properties_tenant_id": ONE}],
    "hubspot.contacts": [{"id": "20", "properties_associatedcompanyid": "10"}],
    "hubspot.deals": [{"id": "30", "properties_hs_primary_associated_company": "10"}],
    "hubspot.tickets": [{"id": "40", "company_id": "10"}],
    "hubspot.products": [{"id": "50"}],
    "hubspot.line_items": [{"id": "60", "company_id": "10"}],
    "hubspot.associations": [{"id": "70", "company_id": "10"}],
    "hubspot.property_history": [{"id": "80", "company_id": "10"}],
    "hubspot.merges": [{"id": "90", "company_id": "10"}],
    "hubspot.owners": [{"id": "100"}],
    "hubspot.deal_pipelines": [{"id": "110"}],
    "hubspot.ticket_pipelines": [{"id": "120"}],
    "salesforce.Account": [{"Id": "001", "Tenant_Id__c": ONE}],
    "salesforce.Contact": [{"Id": "003", "AccountId": "001"}],
    "salesforce.Opportunity": [{"Id": "006", "AccountId": "001"}],
    "salesforce.OpportunityLineItem": [{"Id": "00k", "OpportunityId": "006"}],
    "salesforce.OpportunityContactRole": [{"Id": "00K", "OpportunityId": "006"}],
    "salesforce.OpportunityFieldHistory": [{"Id": "017", "OpportunityId": "006"}],
    "salesforce.Task": [{"Id": "00T", "AccountId": "001"}],
    "salesforce.Event": [{"Id": "00U", "AccountId": "001"}],
    "salesforce.Lead": [{"Id": "00Q"}],
    "salesforce.Campaign": [{"Id": "701"}],
    "salesforce.User": [{"Id": "005"}],
    "salesforce.RecordMerge": [{"Id": "004", "AccountId": "001"}],
}


def _planted(table: Table, column: Column) -> Any:
    """A value of the column's type that can be found again if the column is personal."""
    kind = column.data_class.name
    if kind == "network_address":
        return ADDRESS
    if kind == "person_identifier" and column.type == "UUID":
        return PERSON
    canary = f"{MARK} {table.label}.{column.name}@example.com" if column.data_class.treatment != "keep" else "plain"
    return {
        "VARCHAR": "2026-01-31T10:00:00Z" if column.logical_type == "timestamp" else canary,
        "UUID": str(uuid5(SPACE, table.label)),
        "INTEGER": 12,
        "BIGINT": 1767225600,
        "DECIMAL": "12.5",
        "DOUBLE": 12.5,
        "BOOLEAN": True,
        "TIMESTAMPTZ": FIRST,
        "DATE": FIRST.date(),
        "JSON": {"interval": "month", "interval_count": 1, "who": canary, "coupon": "half", "paid_at": 1767225600},
    }[column.type.partition("(")[0]]


def _put(con: duckdb.DuckDBPyConnection, table: Table, row: dict[str, Any], *, at: datetime) -> None:
    """Write one raw row as landing would."""
    values = {column.name: row.get(column.name, _planted(table, column)) for column in table.landed}
    values |= {key: None for key, value in row.items() if value is None}
    given = [json.dumps(v) if isinstance(v, dict) else v for v in values.values()]
    names = [*values, "_airbyte_extracted_at", "_ab_cdc_deleted_at"]
    key = " and ".join(f'"{name}" = ?' for name in table.key)
    raw = f"{table.schema}.{table.name}"
    con.execute(f"delete from {raw} where {key}", [values[name] for name in table.key])
    listed = ", ".join(f'"{name}"' for name in names)
    con.execute(f"insert into {raw} ({listed}) values ({', '.join('?' * len(names))})", [*given, at, row.get("gone")])


def _open(dbt: Dbt) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(dbt.warehouse))
    con.execute("set TimeZone = 'UTC'")
    con.execute(f"attach '{dbt.vault}' as vault")
    return con


class Staged:
    """Staging after two runs, and one row as it was after the first."""

    def __init__(self, con: duckdb.DuckDBPyConnection, late_at_first: str) -> None:
        self.con = con
        self.late_at_first = late_at_first

    def rows(self, model: str) -> list[dict[str, Any]]:
        cursor = self.con.execute(f"select * from staging.{model}")
        names = [str(entry[0]) for entry in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def row(self, model: str, **values: str) -> dict[str, Any]:
        (found,) = [r for r in self.rows(model) if all(r[name] == value for name, value in values.items())]
        return found

    def key(self, tenant: str) -> bytes:
        """A tenant's key, back from its inner pad."""
        found = self.con.execute("select ipad from vault.tenant_keys where tenant_id = ?", [tenant]).fetchone()
        assert found is not None
        return bytes(byte ^ 0x36 for byte in bytes(found[0]))


@pytest.fixture(scope="module")
def staged(dbt: Dbt) -> Iterator[Staged]:
    """Everything planted and built; then a customer is attributed and a comment deleted, and all is built again."""
    with _open(dbt) as con:
        for table in TABLES:
            if table.derived_from is None:
                land.ensure_table(con, land.raw_table(table))
                for row in ROWS.get(table.label, [{}]):
                    _put(con, table, row, at=FIRST)
        ensure_keys_for_raw(con, CONTRACTS)
    dbt.run("run", "--select", "staging")
    with _open(dbt) as con:
        late_at_first = Staged(con, "").row("stg_stripe__invoices", id="in_late")["tenant_id"]
        customers, comments = CONTRACTS.table("stripe", "customers"), CONTRACTS.table("app", "comments")
        _put(con, customers, {"id": "cus_late", "metadata": {"tenant_id": TWO}}, at=LATER)
        _put(con, comments, {"tenant_id": ONE, "author_id": None, "body": None, "gone": LATER}, at=LATER)
    dbt.run("run", "--select", "staging")
    with _open(dbt) as con:
        yield Staged(con, late_at_first)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.label)
def test_no_planted_value_is_found_in_staging(table: Table, staged: Staged) -> None:
    rows = staged.rows(staging_name(table))
    assert rows, "an empty table proves nothing"
    text = json.dumps(rows, default=str).lower()
    for planted in (MARK.lower(), PERSON, ADDRESS):
        assert planted not in text


def test_the_search_is_not_blind(staged: Staged) -> None:
    for table in TABLES:
        if table.derived_from is None and any(c.data_class.treatment != "keep" for c in table.landed):
            text = str(staged.con.execute(f"select * from {table.schema}.{table.name}").fetchall()).lower()
            assert MARK.lower() in text or PERSON in text, table.label


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.label)
def test_every_personal_column_is_absent_or_treated(table: Table, staged: Staged) -> None:
    rows = [row for row in staged.rows(staging_name(table)) if not row["is_deleted"]]
    shapes = {"pseudonymise": r"[0-9a-f]{64}", "generalise": r"198\.51\.100\.0/24", "mask": r".?\*\*\*(@.+)?"}
    for column in table.columns:
        treatment = column.data_class.treatment
        if treatment in ("drop", "never_land"):
            assert all(column.staged_as not in row for row in rows), column.staged_as
        elif treatment != "keep":
            assert all(re.fullmatch(shapes[treatment], row[column.staged_as]) for row in rows), column.staged_as


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.label)
def test_staging_has_the_columns_of_the_contract_in_order_and_one_row_a_key(table: Table, staged: Staged) -> None:
    rows = staged.rows(staging_name(table))
    assert list(rows[0]) == [name for name, _, _ in staging_columns(table)]
    keys = [tuple(row[name] for name in staging_key(table)) for row in rows]
    assert len(keys) == len(set(keys))


def test_pseudonyms_join_within_a_tenant_and_not_across(staged: Staged) -> None:
    for tenant in (ONE, TWO):
        user = staged.row("stg_app__users", tenant_id=tenant)["id"]
        assert user == pseudonymise(staged.key(tenant), PERSON)
        assert user == staged.row("stg_app__workflow_runs", tenant_id=tenant)["started_by"]
    assert len({row["id"] for row in staged.rows("stg_app__users")}) == len({ONE, TWO})


def test_a_row_is_its_customers_tenants_and_else_unattributed(staged: Staged) -> None:
    for model, key in (
        ("stg_stripe__customers", "cus_one"),
        ("stg_stripe__subscriptions", "sub_1"),
        ("stg_stripe__invoices", "in_one"),
        ("stg_stripe__charges", "ch_one"),
        ("stg_stripe__refunds", "re_one"),
        ("stg_stripe__discounts", "di_1"),
        ("stg_stripe__events", "evt_1"),
        ("stg_stripe__events", "evt_3"),
        ("stg_hubspot__companies", "10"),
        ("stg_hubspot__deals", "30"),
        ("stg_salesforce__accounts", "001"),
        ("stg_salesforce__opportunities", "006"),
        ("stg_salesforce__opportunity_line_items", "00k"),
        ("stg_salesforce__opportunity_field_history", "017"),
        ("stg_salesforce__tasks", "00T"),
    ):
        assert staged.row(model, id=key)["tenant_id"] == ONE, model
    assert [row["tenant_id"] for row in staged.rows("stg_hubspot__contacts")] == [ONE]
    assert staged.row("stg_stripe__invoices", id="in_strange")["tenant_id"] == "unattributed"


def test_a_customer_attributed_later_takes_its_old_rows_along(staged: Staged) -> None:
    assert staged.late_at_first == "unattributed"
    late = staged.row("stg_stripe__invoices", id="in_late")
    assert late["tenant_id"] == TWO
    assert late["_extracted_at"] == LATER


def test_a_deleted_row_stays_as_deleted_and_keeps_when_it_happened(staged: Staged) -> None:
    gone = staged.row("stg_app__comments", tenant_id=ONE)
    assert gone["is_deleted"]
    assert gone["author_id"] is None
    assert gone["created_at"] == FIRST
    assert not staged.row("stg_app__comments", tenant_id=TWO)["is_deleted"]


def test_of_an_event_only_the_members_of_the_contract_leave_raw(staged: Staged) -> None:
    (event,) = staged.rows("stg_stripe__subscription_events")
    assert event["tenant_id"] == ONE
    assert event["status"] == "active"
    assert event["canceled_at"] == datetime.fromtimestamp(1767225600, tz=UTC)
    assert event["trial_end"] is None
    assert event["pause_collection"] is None
    assert json.loads(event["discounts"]) == ["di_1"]
    item = {"price_id": "price_1", "unit_amount": 900, "interval": "year", "interval_count": 1, "quantity": 3}
    assert json.loads(event["items"]) == [item]
    assert json.loads(staged.row("stg_stripe__subscriptions", id="sub_1")["items"]) == [item]
    (given,) = staged.rows("stg_stripe__discount_events")
    assert (given["discount_id"], given["coupon_id"], given["subscription_id"]) == ("di_1", "half", "sub_1")
    assert given["tenant_id"] == ONE, "a discount of a subscription is the tenant's whose subscription it is"


def test_without_a_key_there_are_no_pseudonyms(staged: Staged) -> None:
    staged.con.execute("begin")
    staged.con.execute("delete from vault.tenant_keys where tenant_id = ?", [TWO])
    try:
        assert staged.row("stg_app__users", tenant_id=TWO)["id"] is None
        assert staged.row("stg_app__users", tenant_id=ONE)["id"] is not None
    finally:
        staged.con.execute("rollback")


def test_the_raw_tables_that_dbt_makes_are_those_that_landing_makes() -> None:
    body = raw_tables_macro(CONTRACTS).split("{% if target.type == 'duckdb' -%}")[1].split("{%- endif %}")[0]
    made, landed = _described(body, None), _described(None, CONTRACTS)
    assert made == landed


def _described(ddl: str | None, contracts: Contracts | None) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        con.execute("attach ':memory:' as vault")
        if ddl is not None:
            con.execute(ddl)
        for table in contracts.tables() if contracts else ():
            if table.derived_from is None:
                land.ensure_table(con, land.raw_table(table))
        columns = "schema_name, table_name, column_name, data_type"
        return con.execute(
            f"select {columns} from duckdb_columns() where schema_name like 'raw%' order by all"
        ).fetchall()


def test_landing_adds_the_columns_that_the_compiler_expects() -> None:
    assert [name for name, _ in land.META] == list(RAW_META)
