"""HubSpot in raw equals the portal: after the first sync, after the next, and whatever dies in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingestion import hubspot
from pii_policies import load_contracts
from settings import TailraceError
from tests.ingestion.rest.support import (
    FAULTS,
    HUBSPOT_TOKEN,
    REGIONS,
    Deployments,
    FaultyProxy,
    SandboxClient,
    assert_equal_rows,
    live_rows,
    sync_in_a_process,
)
from warehouse import DuckDBWarehouse, positions

COMPANY_OF = {"contacts": "associatedcompanyid", "deals": "hs_primary_associated_company"}
STREAMS = ("companies", "contacts", "deals")


class Portal:
    """A small sales team's HubSpot sandbox."""

    def __init__(self, api: SandboxClient) -> None:
        self.api = api
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.pass_time(timedelta())

    def pass_time(self, time: timedelta) -> None:
        self.now += time
        self.api.json("/sandbox/clock", {"now": self.now.isoformat().replace("+00:00", "Z")})

    def create(self, stream: str, properties: Iterable[dict[str, str]]) -> list[str]:
        inputs = [{"properties": each} for each in properties]
        answer = self.api.json(f"/crm/v3/objects/{stream}/batch/create", {"inputs": inputs})
        return [item["id"] for item in answer["results"]]

    def change(self, stream: str, key: str, **properties: str) -> None:
        self.api.json(f"/crm/v3/objects/{stream}/{key}", {"properties": properties}, method="PATCH")

    def archive(self, stream: str, key: str) -> None:
        self.api.json(f"/crm/v3/objects/{stream}/{key}", method="DELETE")

    def account(self, name: str, region: str | None = "us") -> str:
        """A company with three contacts and a deal."""
        attributed = {"tenant_id": f"tenant-{name}", "region": region} if region else {}
        (company,) = self.create("companies", [{"name": name, **attributed}])
        contacts = [{"email": f"{n}@{name}.example", "associatedcompanyid": company} for n in range(3)]
        self.create("contacts", contacts)
        self.create("deals", [{"dealname": name, "amount": "900", "hs_primary_associated_company": company}])
        return company

    def all(self, stream: str) -> list[dict[str, Any]]:
        """Every object, flat as a raw row is."""
        found: list[dict[str, Any]] = []
        landed = load_contracts().table("hubspot", stream).landed
        asked = ",".join(column.name.removeprefix("properties_") for column in landed)
        after: dict[str, str] = {}
        while True:
            page = self.api.get(f"/crm/v3/objects/{stream}", limit="100", properties=asked, **after)
            for item in page["results"]:
                found.append(item | {f"properties_{name}": value for name, value in item["properties"].items()})
            if "paging" not in page:
                return found
            after = {"after": page["paging"]["next"]["after"]}


@pytest.fixture
def portal(hubspot_sandbox: SandboxClient) -> Portal:
    portal = Portal(hubspot_sandbox)
    for number in range(4):
        portal.account(f"company{number}")
        portal.pass_time(timedelta(hours=1))
    return portal


def live_on(portal: Portal) -> None:
    """An hour in which objects of each type come, change and go."""
    portal.pass_time(timedelta(hours=1))
    company = portal.account(f"newcomer{portal.now:%d%H%M}")
    portal.change("companies", company, industry="FARMING")
    contacts, deals = portal.all("contacts"), portal.all("deals")
    portal.change("contacts", contacts[0]["id"], jobtitle="Head of Workflows")
    portal.archive("contacts", contacts[1]["id"])
    portal.change("deals", deals[0]["id"], dealstage="closedwon", amount="1200")
    portal.pass_time(timedelta(minutes=1))


def assert_equal(warehouse: DuckDBWarehouse, portal: Portal) -> None:
    for stream in STREAMS:
        assert_equal_rows(warehouse, "hubspot", stream, portal.all(stream))


def test_full_then_incremental_equals_the_portal(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    first = hubspot.sync(settings, warehouse)
    assert first.mode == "full"
    assert_equal(warehouse, portal)
    assert first.landed["contacts"] == len(portal.all("contacts"))

    live_on(portal)
    second = hubspot.sync(settings, warehouse)
    assert second.mode == "incremental"
    assert_equal(warehouse, portal)
    # the newcomer's three contacts and the one who got a new title; overlap lands nothing twice
    assert second.landed["contacts"] == 3 + 1
    assert second.deleted["contacts"] == 1


def test_a_sync_of_nothing_new_lands_nothing(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    again = hubspot.sync(settings, warehouse)
    assert (again.mode, again.rows, again.deleted.total()) == ("incremental", 0, 0)


def test_an_empty_portal_lands_nothing_and_its_first_object_later(
    hubspot_sandbox: SandboxClient, deployment: Deployments
) -> None:
    settings, warehouse = deployment(hubspot=hubspot_sandbox.url)
    assert hubspot.sync(settings, warehouse).rows == 0
    portal = Portal(hubspot_sandbox)
    portal.account("first")
    hubspot.sync(settings, warehouse)
    assert_equal(warehouse, portal)


def test_more_new_objects_than_a_search_pages_through_are_all_found(portal: Portal, deployment: Deployments) -> None:
    """Paging a search by offset ends at 10,000."""
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    imported = 10_050
    for start in range(0, imported, 100):
        portal.create("contacts", [{"firstname": f"n{n}"} for n in range(start, min(start + 100, imported))])
    report = hubspot.sync(settings, warehouse)
    assert report.landed["contacts"] == imported
    assert_equal(warehouse, portal)


def test_more_objects_of_one_stamp_than_a_page_holds_are_each_found_once(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bulk edit gives many objects the same stamp, which alone is no cursor then."""
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    for bulk in range(3):
        portal.create("contacts", [{"firstname": f"n{bulk}-{n}"} for n in range(100)])
    monkeypatch.setattr(hubspot, "SEARCHED", 30)
    assert hubspot.sync(settings, warehouse).landed["contacts"] == 3 * 100
    assert_equal(warehouse, portal)


def test_a_modification_that_the_index_shows_late_is_found_within_the_overlap(
    portal: Portal, deployment: Deployments
) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    late = portal.all("deals")[0]["id"]
    portal.change("deals", late, amount="1")
    with warehouse.writer("as if a later stamp had been seen") as con:
        position = positions.read(con, "hubspot", "portal") or {}
        position["streams"]["deals"]["since"] += hubspot.OVERLAP // timedelta(milliseconds=2)
        positions.write(con, "hubspot", "portal", position)
    assert hubspot.sync(settings, warehouse).landed["deals"] == 1
    assert_equal(warehouse, portal)


def test_killed_at_any_request_and_run_again_loses_and_doubles_nothing(
    portal: Portal, deployment: Deployments, faulty: Callable[..., FaultyProxy]
) -> None:
    portal.create("contacts", [{"firstname": f"n{n}"} for n in range(100)])
    portal.create("contacts", [{"firstname": f"m{n}"} for n in range(100)])
    victim: list[int] = []
    left = [0]

    def kill(_: int, __: str) -> None:
        left[0] -= 1
        if left[0] == 0 and victim:
            os.kill(victim[0], signal.SIGKILL)

    proxy = faulty(portal.api.url, kill)
    settings, warehouse = deployment(hubspot=proxy.url)
    for request in (3, 5, 6):  # in the first listing, at a later page of the next one, after it
        victim.clear()
        left[0] = request
        process = sync_in_a_process(settings, "hubspot")
        victim.append(process.pid)
        assert process.wait(timeout=60) == -signal.SIGKILL
        live_on(portal)
    hubspot.sync(settings, warehouse)
    assert_equal(warehouse, portal)


def test_another_regions_rows_never_land(portal: Portal, deployment: Deployments) -> None:
    portal.account("berlin", "eu")
    portal.account("nowhere", None)
    portal.create("contacts", [{"firstname": "unattached"}])
    gone = portal.account("rome", "eu")
    portal.archive("companies", gone)
    for region in REGIONS:
        settings, warehouse = deployment(hubspot=portal.api.url, region=region)
        for step in ("full", "incremental"):
            report = hubspot.sync(settings, warehouse)
            assert report.mode == step
            of = {c["id"]: c["properties_region"] or "us" for c in portal.all("companies")} | {gone: "eu"}
            mine = {company for company, its in of.items() if its == region}
            assert set(live_rows(warehouse, "raw_hubspot.companies")) == mine - {gone}
            for stream, company in COMPANY_OF.items():
                rows = live_rows(warehouse, f"raw_hubspot.{stream}")
                placed = {o["id"]: of.get(o[f"properties_{company}"], "us") for o in portal.all(stream)}
                assert set(rows) == {key for key, its in placed.items() if its == region}
                assert report.filtered[stream] > 0
            portal.pass_time(timedelta(hours=1))
            portal.account(f"york{region}{step}", "us")
            portal.account(f"madrid{region}{step}", "eu")


def test_a_company_that_moves_takes_its_contacts_and_deals_along(portal: Portal, deployment: Deployments) -> None:
    company = portal.all("companies")[0]["id"]
    home = {region: deployment(hubspot=portal.api.url, region=region) for region in REGIONS}
    for settings, warehouse in home.values():
        hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    portal.change("companies", company, region="eu")
    for region, (settings, warehouse) in home.items():
        report = hubspot.sync(settings, warehouse)
        assert "moved" in str(report.note)
        assert (company in live_rows(warehouse, "raw_hubspot.companies")) is (region == "eu")
        for stream, column in COMPANY_OF.items():
            owners = {row[f"properties_{column}"] for row in live_rows(warehouse, f"raw_hubspot.{stream}").values()}
            assert (company in owners) is (region == "eu")


def test_an_archived_contact_stays_without_a_personal_value(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    contact = portal.all("contacts")[0]
    portal.archive("contacts", contact["id"])
    assert hubspot.sync(settings, warehouse).deleted["contacts"] == 1
    with warehouse.reader() as con:
        row = con.execute(
            "select properties_email, properties_firstname, _ab_cdc_deleted_at is not null, "
            "properties_associatedcompanyid from raw_hubspot.contacts where id = ?",
            [contact["id"]],
        ).fetchone()
    assert row == (None, None, True, contact["properties_associatedcompanyid"])
    assert hubspot.sync(settings, warehouse).deleted.total() == 0


def test_faults_lose_and_double_nothing(
    portal: Portal, deployment: Deployments, faulty: Callable[..., FaultyProxy]
) -> None:
    proxy = faulty(portal.api.url, lambda number, _: FAULTS[number % len(FAULTS)] if number % 3 == 2 else None)
    settings, warehouse = deployment(hubspot=proxy.url)
    hubspot.sync(settings, warehouse)
    live_on(portal)
    assert hubspot.sync(settings, warehouse).retries > 0
    assert_equal(warehouse, portal)


def test_a_refused_token_is_told_in_one_line_without_the_token(
    hubspot_sandbox: SandboxClient, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, warehouse = deployment(hubspot=hubspot_sandbox.url)
    wrong = HUBSPOT_TOKEN.replace("pat-", "tap-")
    monkeypatch.setenv("TEST_HUBSPOT_TOKEN", wrong)
    with pytest.raises(TailraceError) as failure:
        hubspot.sync(settings, warehouse)
    line = str(failure.value)
    assert "TEST_HUBSPOT_TOKEN" in line
    assert wrong not in line
    assert "\n" not in line
