"""A small sales team's HubSpot sandbox, and the truth to compare raw with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pii_policies import load_contracts
from tests.ingestion.rest.support import SandboxClient, assert_equal_rows, live_rows
from warehouse import DuckDBWarehouse

Json = dict[str, Any]
OBJECTS = ("companies", "contacts", "deals", "tickets", "products", "line_items")
TIES = {
    "contacts": ("companies",),
    "deals": ("companies", "contacts", "line_items"),
    "tickets": ("companies", "contacts", "deals"),
}
COLUMN = {
    "companies": "linked_company_id",
    "contacts": "contact_id",
    "deals": "deal_id",
    "tickets": "ticket_id",
    "line_items": "line_item_id",
}
FOLLOWED = {
    "companies": ("lifecyclestage",),
    "deals": ("dealstage", "amount", "closedate", "pipeline"),
    "tickets": ("hs_pipeline_stage", "hs_ticket_priority"),
}
COMPANY_OF = {"contacts": "associatedcompanyid", "deals": "hs_primary_associated_company"}


class Portal:
    """Who lives in it: writes as the sales team does."""

    def __init__(self, api: SandboxClient) -> None:
        self.api = api
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        if self.api.get("/crm/v3/objects/companies")["results"]:  # somebody comes back
            self.now = datetime.fromisoformat(self.api.get("/sandbox/clock")["now"])
        self.pass_time(timedelta())

    def pass_time(self, time: timedelta) -> None:
        self.now += time
        self.do("clock", now=self.now.isoformat().replace("+00:00", "Z"))

    def do(self, action: str, **body: Any) -> Json:
        """What the real one does not have, or only in its own pages: clock, behave, restore, purge, owners."""
        return self.api.json(f"/sandbox/{action}", body)

    def create(self, stream: str, properties: Iterable[Json]) -> list[str]:
        inputs = [{"properties": each} for each in properties]
        answer = self.api.json(f"/crm/v3/objects/{stream}/batch/create", {"inputs": inputs})
        return [item["id"] for item in answer["results"]]

    def change(self, stream: str, key: str, **properties: str) -> None:
        self.api.json(f"/crm/v3/objects/{stream}/{key}", {"properties": properties}, method="PATCH")

    def archive(self, stream: str, key: str) -> None:
        self.api.json(f"/crm/v3/objects/{stream}/{key}", method="DELETE")

    def tie(self, stream: str, key: str, kind: str, other: str, type_id: int | None = None) -> None:
        where = f"/crm/v4/objects/{stream}/{key}/associations"
        if type_id is None:
            self.api.json(f"{where}/default/{kind}/{other}", method="PUT")
            return
        spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}]
        self.api.json(f"{where}/{kind}/{other}", spec, method="PUT")

    def untie(self, stream: str, key: str, kind: str, other: str) -> None:
        self.api.json(f"/crm/v4/objects/{stream}/{key}/associations/{kind}/{other}", method="DELETE")

    def merge(self, stream: str, primary: str, other: str) -> str:
        body = {"primaryObjectId": primary, "objectIdToMerge": other}
        return str(self.api.json(f"/crm/v3/objects/{stream}/merge", body)["id"])

    def account(self, name: str, region: str | None = "us") -> str:
        """A company with three contacts, a deal of two items, and a ticket."""
        attributed = {"tenant_id": f"tenant-{name}", "region": region} if region else {}
        (company,) = self.create("companies", [{"name": name, "lifecyclestage": "lead", **attributed}])
        people = self.create(
            "contacts", [{"email": f"{n}@{name}.example", "associatedcompanyid": company} for n in range(3)]
        )
        deal = {"dealname": name, "amount": "900", "dealstage": "appointmentscheduled"}
        (deal_id,) = self.create("deals", [deal | {"hs_primary_associated_company": company}])
        self.tie("deals", deal_id, "contacts", people[0])
        for item in self.create("line_items", [{"name": f"{name}{n}", "quantity": "2"} for n in range(2)]):
            self.tie("line_items", item, "deals", deal_id)
        (ticket,) = self.create("tickets", [{"subject": name, "hs_pipeline_stage": "1"}])
        self.tie("tickets", ticket, "companies", company, 26)
        self.tie("tickets", ticket, "contacts", people[1])
        return company

    # the truth

    def objects(self, stream: str, **query: str) -> list[Json]:
        """Every record, as the list shows it."""
        found: list[Json] = []
        landed = load_contracts().table("hubspot", stream).landed
        asked = ",".join(c.name.removeprefix("properties_") for c in landed if c.name.startswith("properties_"))
        after: Json = {}
        while True:
            page = self.api.get(f"/crm/v3/objects/{stream}", **({"limit": "100", "properties": asked} | query | after))
            found += page["results"]
            if "paging" not in page:
                return found
            after = {"after": page["paging"]["next"]["after"]}

    def all(self, stream: str) -> list[Json]:
        """Every record, flat as a raw row is."""
        found = [
            item | {f"properties_{name}": value for name, value in item["properties"].items()}
            for item in self.objects(stream)
        ]
        if stream == "tickets":
            ties = self._ties("tickets", "companies", [item["id"] for item in found])
            return [item | {"company_id": _primary(ties.get(item["id"], []))} for item in found]
        if stream == "line_items":
            ties = self._ties("line_items", "deals", [item["id"] for item in found])
            company = {deal["id"]: deal[f"properties_{COMPANY_OF['deals']}"] for deal in self.all("deals")}
            for item in found:
                deals = [to["toObjectId"] for to in ties.get(item["id"], [])]
                item |= {"deal_id": deals[0] if deals else None, "company_id": company[deals[0]] if deals else None}
        return found

    def owner_of(self, stream: str) -> dict[str, str | None]:
        """Id → company of every record."""
        column = f"properties_{COMPANY_OF[stream]}" if stream in COMPANY_OF else "company_id"
        return {item["id"]: item["id"] if stream == "companies" else item[column] for item in self.all(stream)}

    def associations(self) -> list[Json]:
        rows = []
        for stream, kinds in TIES.items():
            owners = self.owner_of(stream)
            for kind in kinds:
                for key, others in self._ties(stream, kind, list(owners)).items():
                    for other in others:
                        for type_ in other["associationTypes"]:
                            row = {"holder": f"{stream}/{key}", "from_type": stream, "to_type": kind}
                            row |= {COLUMN[stream]: key, COLUMN[kind]: other["toObjectId"], "company_id": owners[key]}
                            row |= {"category": type_["category"], "type_id": type_["typeId"], "label": type_["label"]}
                            name = f"{stream}/{key}/{kind}/{other['toObjectId']}/{type_['typeId']}"
                            rows.append(row | {"id": name})
        return rows

    def history(self) -> list[Json]:
        rows = []
        for stream, names in FOLLOWED.items():
            owners = self.owner_of(stream)
            for item in self.objects(stream, limit="50", propertiesWithHistory=",".join(names)):
                for name, versions in item["propertiesWithHistory"].items():
                    for version in versions:
                        row = {"object_type": stream, "object_id": item["id"], "company_id": owners[item["id"]]}
                        row |= {"id": f"{stream}/{item['id']}/{name}/{version['timestamp']}", "property": name}
                        rows.append(row | version)
        return rows

    def _ties(self, stream: str, kind: str, keys: list[str]) -> dict[str, list[Json]]:
        inputs = [{"id": key} for key in keys]
        found = []
        for start in range(0, len(inputs), 1000):
            body = {"inputs": inputs[start : start + 1000]}
            found += self.api.json(f"/crm/v4/associations/{stream}/{kind}/batch/read", body)["results"]
        return {each["from"]["id"]: each["to"] for each in found}


def _primary(others: list[Json]) -> str | None:
    primary = [to for to in others if any(type_["label"] == "Primary" for type_ in to["associationTypes"])]
    return str((primary or others)[0]["toObjectId"]) if others else None


def assert_equal(warehouse: DuckDBWarehouse, portal: Portal) -> None:
    """Raw holds exactly what the portal shows, in every table and column; of past values, at least those."""
    for stream in OBJECTS:
        assert_equal_rows(warehouse, "hubspot", stream, portal.all(stream))
    assert_equal_rows(warehouse, "hubspot", "associations", portal.associations())
    assert_equal_rows(warehouse, "hubspot", "owners", portal.api.get("/crm/v3/owners")["results"])
    for kind in ("deal", "ticket"):
        shown = portal.api.get(f"/crm/v3/pipelines/{kind}s")["results"]
        assert_equal_rows(warehouse, "hubspot", f"{kind}_pipelines", shown)
    held = live_rows(warehouse, "raw_hubspot.property_history")
    for version in portal.history():
        row = held[version["id"]]
        assert row["value"] == version["value"]
        assert row["company_id"] == version["company_id"]
    assert merges(warehouse) == {
        gone: (stream, item["id"])
        for stream in ("companies", "contacts", "deals", "tickets")
        for item in portal.all(stream)
        for gone in (item["properties_hs_merged_object_ids"] or "").split(";")
        if gone
    }


def merges(warehouse: DuckDBWarehouse) -> dict[str, tuple[str, str]]:
    """Id of a record that is no more → its kind and the record that it is part of."""
    rows = live_rows(warehouse, "raw_hubspot.merges")
    return {key: (row["object_type"], row["survivor_id"]) for key, row in rows.items()}


def live_on(portal: Portal) -> None:
    """An hour in which records of each type come, change, merge and go."""
    portal.pass_time(timedelta(hours=1))
    company = portal.account(f"newcomer{portal.now:%d%H%M}")
    portal.change("companies", company, industry="FARMING", lifecyclestage="customer")
    contacts, deals, tickets = portal.all("contacts"), portal.all("deals"), portal.all("tickets")
    portal.change("contacts", contacts[0]["id"], jobtitle="Head of Workflows")
    portal.archive("contacts", contacts[1]["id"])
    portal.merge("contacts", contacts[0]["id"], contacts[2]["id"])
    portal.change("deals", deals[0]["id"], dealstage="closedwon", amount="1200")
    portal.change("tickets", tickets[0]["id"], hs_pipeline_stage="4")
    portal.create("products", [{"name": "Workflows", "price": "19"}])
    portal.do("owners", email=f"seller{portal.now:%d%H%M}@example.com", firstName="Sel", lastName="Ler")
    portal.pass_time(timedelta(minutes=1))
