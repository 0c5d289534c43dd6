"""A small sales team's org in a sandbox, the truth to compare with, and deployments that read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import urllib3

from demo.sandbox.salesforce_api import SIMULATOR
from pii_policies import Table, load_contracts
from settings import Region, Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse

CLIENT, SECRET = "sandbox-client-0123456789", "sandbox-secret-0123456789"
TABLES = [table for table in load_contracts().raw_tables("salesforce") if table.name != "RecordMerge"]
NAMES = [table.name for table in TABLES]
CALCULATED = {"Account": "Open_Pipeline__c", "Opportunity": "Account_Industry__c"}
# By which way much is read: pages of a query, or a Bulk 2.0 job.
WAYS = {"query": 1_000_000, "bulk": 1}
# Queries are what every other test reads by.
in_both_ways = pytest.mark.parametrize("way", ["bulk", pytest.param("query", marks=pytest.mark.operations)])
_DATA = "/services/data/v62.0"
_CONFIG = """
region: us
state_dir: {home}
sources:
  postgres: {{dsn: postgresql://nobody@127.0.0.1:1/none}}
  stripe: {{url: "http://127.0.0.1:1", api_key_env: NONE}}
  hubspot: {{url: "http://127.0.0.1:1", token_env: NONE}}
  salesforce: {{url: "{url}", client_id_env: TEST_SALESFORCE_ID, client_secret_env: TEST_SALESFORCE_SECRET, {more}}}
serving: {{publisher_dsn: postgresql://nobody@127.0.0.1:1/none, reader_dsn: postgresql://nobody@127.0.0.1:1/none}}
residency: {{unattributed_region: us}}
"""


class Org:
    """The sales team's side of a sandbox: writes records, and reads the truth."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(headers={"Authorization": f"Bearer {SIMULATOR}"}, retries=False)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.pass_time(timedelta())

    def pass_time(self, time: timedelta) -> None:
        self.now += time
        self.do("clock", now=self.now.isoformat())

    def do(self, action: str, **body: Any) -> Any:
        """What the real one does not have, or only by SOAP: clock, undelete, merge, purge, behave, …"""
        return self._ask("POST", f"/sandbox/{action}", body)

    def create(self, name: str, **fields: Any) -> str:
        return str(self._ask("POST", f"{_DATA}/sobjects/{name}/", fields)["id"])

    def create_all(self, name: str, fields: Iterable[Mapping[str, Any]]) -> list[str]:
        records = [{"attributes": {"type": name}, **each} for each in fields]
        made: list[str] = []
        for start in range(0, len(records), 200):
            answer = self._ask("POST", f"{_DATA}/composite/sobjects", {"records": records[start : start + 200]})
            made += [each["id"] for each in answer]
        return made

    def change(self, name: str, key: str, **fields: Any) -> None:
        self._ask("PATCH", f"{_DATA}/sobjects/{name}/{key}", fields)

    def delete(self, name: str, key: str) -> None:
        self._ask("DELETE", f"{_DATA}/sobjects/{name}/{key}")

    def account(self, name: str, region: str | None = "us") -> str:
        """An account with two contacts, an opportunity with an item, a role and a task."""
        placed = {"Region__c": region, "Tenant_Id__c": f"tenant-{name}"} if region else {}
        account = self.create("Account", Name=name, Industry="Farming", **placed)
        people = self.create_all("Contact", [{"AccountId": account, "LastName": f"{name}{n}"} for n in range(2)])
        self.opportunity(account, people[0])
        self.create("Task", Subject=f"Call {name}", WhatId=account, Status="Not Started")
        return account

    def opportunity(self, account: str, contact: str, amount: float = 1200.5) -> str:
        fields = {"Name": "New", "StageName": "Prospecting", "CloseDate": "2026-03-31", "Amount": amount}
        opportunity = self.create("Opportunity", AccountId=account, **fields)
        self.create("OpportunityLineItem", OpportunityId=opportunity, Quantity=3, UnitPrice=400.1)
        self.create("OpportunityContactRole", OpportunityId=opportunity, ContactId=contact, Role="Influencer")
        return opportunity

    def all(self, table: Table) -> dict[str, dict[str, Any]]:
        """Id → landing fields of every record that is not deleted, and ``account``: whose it is."""
        paths = {"Account": "Id", "Contact": "AccountId", "Opportunity": "AccountId", "Task": "AccountId"}
        paths["Event"] = "AccountId"
        path = "Opportunity.AccountId" if table.name.startswith("Opportunity") else ""
        path = paths.get(table.name, path)
        fields = [column.name for column in table.landed]
        asked = ", ".join(dict.fromkeys([*fields, *([path] if path else [])]))
        page = self._ask("GET", f"{_DATA}/query", fields={"q": f"SELECT {asked} FROM {table.name}"})  # noqa: S608
        found = list(page["records"])
        while not page["done"]:
            page = self._ask("GET", page["nextRecordsUrl"])
            found += page["records"]
        whose = {record["Id"]: _dig(record, path) if path else None for record in found}
        return {r["Id"]: {f: r[f] for f in fields} | {"account": whose[r["Id"]]} for r in found}

    def _ask(self, method: str, path: str, body: Any = None, *, fields: Any = None) -> Any:
        answer = self._http.request(method, self.url + path, json=body, fields=fields)
        assert answer.status < 300, f"{answer.status}: {answer.data[:300]!r}"
        return answer.json() if answer.data else None


def _dig(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for part in path.split("."):
        value = value[part]
    return value


class Deployments:
    """Deployments of this test; settings beyond the address are written as in YAML."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, url: str, *, region: Region = "us", **more: object) -> tuple[Settings, DuckDBWarehouse]:
        self._home.mkdir(exist_ok=True)
        config = self._home / "tailrace.yml"
        given = ", ".join(f"{name}: {value}" for name, value in more.items())
        config.write_text(_CONFIG.format(home=self._home, url=url, more=given))
        settings = load_settings(region=region, config_path=config)
        return settings, open_warehouse(settings)


def live_rows(warehouse: DuckDBWarehouse, name: str) -> dict[str, dict[str, Any]]:
    """Id → row of the rows that are not deleted; fails if an id stands there twice."""
    rows = all_rows(warehouse, name)
    return {key: row for key, row in rows.items() if row["_ab_cdc_deleted_at"] is None}


def all_rows(warehouse: DuckDBWarehouse, name: str) -> dict[str, dict[str, Any]]:
    with warehouse.reader() as con:
        cursor = con.execute(f'from raw_salesforce."{name}"')
        columns = [column[0] for column in cursor.description]
        found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    rows = {row["Id"]: row for row in found}
    assert len(rows) == len(found), f"{name}: an id stands there twice"
    return rows


def assert_equal(
    warehouse: DuckDBWarehouse,
    org: Org,
    *,
    region: Region = "us",
    calculated: bool = True,
    names: Iterable[str] = NAMES,
) -> None:
    """Raw holds exactly the org's records of the region, in every column of the contract."""
    accounts = next(table for table in TABLES if table.name == "Account")
    homes = {key: each["Region__c"] or "us" for key, each in org.all(accounts).items()}
    for table in TABLES:
        if table.name not in names:
            continue
        truth = org.all(table)
        ours = {key: each for key, each in truth.items() if homes.get(each["account"], "us") == region}
        rows = live_rows(warehouse, table.name)
        assert set(rows) == set(ours), table.name
        for key, each in ours.items():
            for column in table.landed:
                if calculated or CALCULATED.get(table.name) != column.name:
                    found, expected = (
                        rows[key][column.name],
                        _expected(column.type, column.logical_type, each)(column.name),
                    )
                    found = Decimal(found) if isinstance(expected, Decimal) and found is not None else found
                    assert found == expected, f"{table.name}.{column.name} of {key}"


def _expected(kind: str, logical: str, record: Mapping[str, Any]) -> Any:
    def value(name: str) -> Any:
        given = record[name]
        if given is None:
            return None
        if kind == "TIMESTAMPTZ":
            return datetime.fromisoformat(given)
        if kind == "DATE":
            return date.fromisoformat(given)
        if logical in ("number", "integer"):
            return Decimal(str(given))
        return given if isinstance(given, bool) and kind == "BOOLEAN" else str(given)

    return value
