"""The sales life in Salesforce: a share of the tenants, and a day that is lived twice is lived once."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from demo.company.roster import roster
from demo.company.salesforce import SIMULATOR, SalesForce, sold_by_salesforce
from demo.company.web import Api
from demo.sandbox import serve

SEED, TENANTS, DAYS = 3, 9, 45
OBJECTS = (
    "Account",
    "Contact",
    "Lead",
    "Opportunity",
    "OpportunityLineItem",
    "Task",
    "Event",
    "OpportunityFieldHistory",
)


def lived(state: Path, *, twice: bool) -> dict[str, list[Any]]:
    """Every record by object, but for ids and stamps."""
    tenants = roster(seed=SEED, tenants=TENANTS)
    with serve("salesforce", 0, state) as running:
        api = Api(name="Salesforce", url=running.url, token=SIMULATOR)
        for day in range(DAYS):
            for _ in range(1 + twice):  # a new process each time, which remembers nothing
                SalesForce(api=api, tenants=tenants, seed=SEED, start=date(2026, 1, 1)).live(day)
        found = {}
        for name in OBJECTS:
            fields = {"Opportunity": "Name, StageName, Amount", "OpportunityFieldHistory": "Field, NewValue"}
            fields |= {"OpportunityLineItem": "ProductCode, Quantity", "Task": "Subject, Status", "Event": "Subject"}
            query = f"SELECT {fields.get(name, 'Name')}, CreatedDate, IsDeleted FROM {name}"  # noqa: S608
            page = api.get("/services/data/v62.0/queryAll", q=query)
            rows = [{key: value for key, value in row.items() if key != "attributes"} for row in page["records"]]
            found[name] = sorted(rows, key=str)
        api.close()
    return found


def test_a_day_that_is_lived_twice_is_lived_once(tmp_path: Path) -> None:
    once = lived(tmp_path / "once.sqlite", twice=False)
    assert once == lived(tmp_path / "twice.sqlite", twice=True)
    tenants = [tenant for tenant in roster(seed=SEED, tenants=TENANTS) if sold_by_salesforce(tenant)]
    assert len(tenants) == TENANTS // 3
    assert [row["Name"] for row in once["Account"]] == sorted(tenant.name for tenant in tenants)
    assert {row["StageName"] for row in once["Opportunity"]} >= {"Closed Won"}
    assert any(row["IsDeleted"] for row in once["Lead"])
