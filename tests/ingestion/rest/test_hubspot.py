"""HubSpot in raw equals the portal: after the first sync, after the next, and whatever dies in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hubspot import HubSpot

from demo.sandbox import hubspot_api
from demo.sandbox.hubspot_store import Store
from ingestion import hubspot
from ingestion.hubspot import lists
from ingestion.hubspot import portal as reading
from ingestion.rest import Batch, Lander, landing
from settings import TailraceError
from tests.ingestion.rest.portal import COMPANY_OF, Portal, assert_equal, live_on, merges
from tests.ingestion.rest.support import (
    FAULTS,
    HUBSPOT_TOKEN,
    REGIONS,
    Deployments,
    FaultyProxy,
    SandboxClient,
    live_rows,
    sync_in_a_process,
)
from warehouse import DuckDBWarehouse, positions


@pytest.fixture
def portal(hubspot_sandbox: SandboxClient) -> Portal:
    portal = Portal(hubspot_sandbox)
    for number in range(4):
        portal.account(f"company{number}")
        portal.pass_time(timedelta(hours=1))
    return portal


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
    # the newcomer's three contacts and the one that two became; overlap lands nothing twice
    assert second.landed["contacts"] == 3 + 1
    assert second.deleted["contacts"] == 1 + 2


def test_a_sync_of_nothing_new_lands_nothing(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    again = hubspot.sync(settings, warehouse)
    assert (again.mode, again.rows, again.deleted.total()) == ("incremental", 0, 0)


def test_an_empty_portal_lands_nothing_and_its_first_object_later(
    hubspot_sandbox: SandboxClient, deployment: Deployments
) -> None:
    settings, warehouse = deployment(hubspot=hubspot_sandbox.url)
    assert set(hubspot.sync(settings, warehouse).landed) == {"deal_pipelines", "ticket_pipelines"}
    portal = Portal(hubspot_sandbox)
    portal.account("first")
    hubspot.sync(settings, warehouse)
    assert_equal(warehouse, portal)


def test_more_new_objects_than_a_search_pages_through_are_all_found(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paging a search by offset ends at its cap, which is 10,000 in the real one."""
    monkeypatch.setattr(hubspot_api, "SEARCH_CAP", 400)
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    imported = 1_050
    for start in range(0, imported, 100):
        portal.create("contacts", [{"firstname": f"n{n}"} for n in range(start, min(start + 100, imported))])
    report = hubspot.sync(settings, warehouse)
    assert report.landed["contacts"] == imported
    assert_equal(warehouse, portal)


def test_what_an_import_changed_is_landed_a_batch_at_a_time(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much changed at once, and whatever hangs on each record, memory holds a batch and what is being read."""
    sizes: list[int] = []
    land = Lander.land

    def measured(self: Lander, batch: Batch, **more: Any) -> Any:
        sizes.append(batch.size)
        return land(self, batch, **more)

    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    deals = 60
    portal.create("deals", [{"dealname": f"n{n}", "amount": "1", "dealstage": "closedwon"} for n in range(deals)])
    for module in (reading, lists):
        monkeypatch.setattr(module, "SEARCHED", 5)
    monkeypatch.setattr(landing, "BATCH", 50)
    monkeypatch.setattr(Lander, "land", measured)
    assert hubspot.sync(settings, warehouse).landed["deals"] == deals
    assert_equal(warehouse, portal)
    rows = 1 + 2  # a deal, and what its amount and its stage were
    assert sum(sizes) >= deals * rows
    assert max(sizes) < 50 + 4 * 5 * rows  # of the four readers each holds a page


def test_more_objects_of_one_stamp_than_a_page_holds_are_each_found_once(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bulk edit gives many objects the same stamp, which alone is no cursor then."""
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    for bulk in range(3):
        portal.create("contacts", [{"firstname": f"n{bulk}-{n}"} for n in range(100)])
    monkeypatch.setattr(reading, "SEARCHED", 30)
    monkeypatch.setattr(lists, "SEARCHED", 30)
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
        position = positions.read(con, "hubspot", "account") or {}
        position["since"]["deals"] += timedelta(minutes=5) // timedelta(milliseconds=2)
        positions.write(con, "hubspot", "account", position)
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


@pytest.mark.operations
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


# what changes without being modified, or is modified without being seen


def compare(warehouse: DuckDBWarehouse) -> None:
    """Let the weekly comparison be due."""
    with warehouse.writer("as if a week had passed") as con:
        position = positions.read(con, "hubspot", "account") or {}
        positions.write(con, "hubspot", "account", position | {"compared_at": {"ours": "2026-01-01T00:00:00+00:00"}})


def test_an_index_that_lags_hides_nothing_for_longer_than_it_lags(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.do("behave", index_lag=60)
    portal.pass_time(timedelta(hours=1))
    one, two = (item["id"] for item in portal.all("deals")[:2])
    portal.change("deals", one, amount="1")
    portal.pass_time(timedelta(seconds=90))
    portal.change("deals", two, amount="2")  # not seen yet, while the first is
    portal.change("deals", one, dealstage="contractsent")  # of which the index shows what it was before
    assert hubspot.sync(settings, warehouse).landed["deals"] == 1
    assert live_rows(warehouse, "raw_hubspot.deals")[one]["properties_dealstage"] == "contractsent"
    portal.pass_time(timedelta(seconds=90))
    hubspot.sync(settings, warehouse)
    assert_equal(warehouse, portal)


def test_an_archived_record_that_the_index_still_shows_stays_deleted(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    portal.do("behave", index_lag=60)
    portal.pass_time(timedelta(minutes=2))
    hubspot.sync(settings, warehouse)
    contact = portal.all("contacts")[-1]["id"]
    portal.change("contacts", contact, jobtitle="Ghost")
    portal.pass_time(timedelta(seconds=90))
    portal.archive("contacts", contact)
    for _ in range(2):
        hubspot.sync(settings, warehouse)
        assert contact not in live_rows(warehouse, "raw_hubspot.contacts")
    assert_equal(warehouse, portal)


@pytest.mark.parametrize(
    "stream",
    ["contacts", *(pytest.param(each, marks=pytest.mark.operations) for each in ("companies", "deals", "tickets"))],
)
def test_records_that_were_merged_are_the_surviving_one(portal: Portal, deployment: Deployments, stream: str) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    one, two, three = (item["id"] for item in portal.all(stream)[:3])
    first = portal.merge(stream, one, two)
    report = hubspot.sync(settings, warehouse)
    assert report.deleted[stream] == 2
    assert_equal(warehouse, portal)
    assert merges(warehouse) == {one: (stream, first), two: (stream, first)}

    portal.pass_time(timedelta(hours=1))
    last = portal.merge(stream, three, first)
    hubspot.sync(settings, warehouse)
    assert_equal(warehouse, portal)
    assert merges(warehouse) == dict.fromkeys([one, two, three, first], (stream, last))
    compare(warehouse)
    assert hubspot.sync(settings, warehouse).repaired.total() == 0


def test_a_record_out_of_the_archive_is_whole_again(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    deal = portal.all("deals")[0]["id"]
    for happens in (lambda: None, lambda: portal.archive("deals", deal), lambda: portal.do("restore", ids=[deal])):
        portal.pass_time(timedelta(hours=1))
        happens()
        hubspot.sync(settings, warehouse)
        assert_equal(warehouse, portal)


def test_what_left_no_trace_is_found_by_the_comparison_and_told(portal: Portal, deployment: Deployments) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    contacts, deals = portal.all("contacts"), portal.all("deals")
    portal.api.json("/crm/v3/objects/contacts/gdpr-delete", {"objectId": contacts[0]["id"]})
    portal.archive("deals", deals[0]["id"])
    portal.pass_time(timedelta(days=91))
    portal.do("purge")
    portal.untie("tickets", portal.all("tickets")[1]["id"], "contacts", contacts[4]["id"])
    portal.tie("tickets", portal.all("tickets")[1]["id"], "deals", deals[1]["id"])  # which modify no record
    assert hubspot.sync(settings, warehouse).deleted.total() == 0
    compare(warehouse)
    report = hubspot.sync(settings, warehouse)
    assert report.mode == "comparison"
    assert (report.repaired["contacts"], report.repaired["deals"]) == (1, 1)
    assert report.repaired["associations"] > 2
    assert_equal(warehouse, portal)
    assert hubspot.sync(settings, warehouse).mode == "incremental"


def test_line_items_follow_their_deal_to_another_region(portal: Portal, deployment: Deployments) -> None:
    berlin = portal.account("berlin", "eu")
    home = {region: deployment(hubspot=portal.api.url, region=region) for region in REGIONS}
    for settings, warehouse in home.values():
        hubspot.sync(settings, warehouse)
    deal = portal.all("deals")[0]["id"]
    items = {item["id"] for item in portal.all("line_items") if item["deal_id"] == deal}
    assert len(items) == 2
    portal.pass_time(timedelta(hours=1))
    portal.change("deals", deal, hs_primary_associated_company=berlin)
    for region, (settings, warehouse) in home.items():
        hubspot.sync(settings, warehouse)
        held = live_rows(warehouse, "raw_hubspot.line_items").keys() & items
        assert held == (items if region == "eu" else set())
        history = live_rows(warehouse, "raw_hubspot.property_history").values()
        assert any(row["object_id"] == deal for row in history) is (region == "eu")


def test_more_associations_of_a_record_than_an_answer_holds_are_all_read(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubspot_api, "ASSOCIATED", 2)
    deal = portal.all("deals")[0]["id"]
    for contact in portal.all("contacts"):
        portal.tie("deals", deal, "contacts", contact["id"])
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    monkeypatch.undo()
    held = [row for row in live_rows(warehouse, "raw_hubspot.associations").values() if row["to_type"] == "contacts"]
    assert sum(row["deal_id"] == deal for row in held) == len(portal.all("contacts"))


# records that cannot be read, and properties that nobody knows


@pytest.mark.parametrize("when", ["in the first listing", "in a later search"])
def test_a_record_of_which_no_answer_can_be_made_is_left_out_told_and_read_when_it_can_be(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    settings, warehouse = deployment(hubspot=portal.api.url)
    if when == "in a later search":
        hubspot.sync(settings, warehouse)
        portal.pass_time(timedelta(hours=1))
    made = portal.create("contacts", [{"firstname": f"n{n}"} for n in range(9)])
    poison = {"kind": "poison", "record": made[4], "on": "objects/contacts"}
    portal.api.json("/sandbox/faults", {"faults": [poison]})
    for _ in range(2):
        report = hubspot.sync(settings, warehouse)
        assert report.skipped == {"contacts": 1}
        held = live_rows(warehouse, "raw_hubspot.contacts")
        assert held.keys() >= set(made) - {made[4]}
        assert made[4] not in held
    portal.api.json("/sandbox/faults", {"faults": []})
    assert hubspot.sync(settings, warehouse).skipped.total() == 0
    assert_equal(warehouse, portal)


def test_a_property_that_no_contract_knows_lands_restricted_and_is_told(
    portal: Portal, deployment: Deployments
) -> None:
    settings, warehouse = deployment(hubspot=portal.api.url)
    hubspot.sync(settings, warehouse)
    portal.pass_time(timedelta(hours=1))
    own = {"name": "favourite_colour", "label": "Colour", "type": "string", "fieldType": "text", "groupName": "g"}
    portal.api.json("/crm/v3/properties/contacts", own)
    contact = portal.all("contacts")[0]["id"]
    portal.change("contacts", contact, favourite_colour="green")
    report = hubspot.sync(settings, warehouse)
    assert report.unclassified["contacts"] == {"properties_favourite_colour": 1}
    assert live_rows(warehouse, "raw_hubspot.contacts")[contact]["properties_favourite_colour"] == '"green"'


def test_a_property_that_the_portal_does_not_have_lands_empty_and_is_told(
    portal: Portal, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable = Store.readable
    monkeypatch.setattr(
        Store, "readable", lambda self, kind: {n: t for n, t in readable(self, kind).items() if n != "industry"}
    )
    settings, warehouse = deployment(hubspot=portal.api.url)
    assert hubspot.sync(settings, warehouse).missing == {"companies": ("industry",)}


def test_the_official_client_reads_what_lands(portal: Portal) -> None:
    """``hubspot-api-client`` cannot tell the sandbox from the real one, but for its address."""
    client = HubSpot(access_token=HUBSPOT_TOKEN)
    client.config["host"] = portal.api.url
    deals = client.crm.deals.get_all(properties=["amount", "dealname"], properties_with_history=["dealstage"])
    assert {deal.id for deal in deals} == {deal["id"] for deal in portal.all("deals")}
    assert deals[0].properties_with_history["dealstage"][0].value == "appointmentscheduled"
    asked = {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "GT", "value": "1"}]}], "limit": 2}
    assert client.crm.deals.search_api.do_search(asked).total == len(deals)
    inputs = {"inputs": [{"id": deal.id} for deal in deals], "properties": ["amount"], "propertiesWithHistory": []}
    assert len(client.crm.deals.batch_api.read(inputs).results) == len(deals)
    ties = client.crm.associations.v4.batch_api.get_page("deals", "contacts", {"inputs": inputs["inputs"]})
    assert {each._from.id for each in ties.results} == {deal.id for deal in deals}
    one = client.crm.associations.v4.basic_api.get_page("deals", deals[0].id, "companies", limit=500)
    assert {type_.label for type_ in one.results[0].association_types} == {"Primary", None}
    owner = portal.do("owners", email="seller@example.com", firstName="Sel", lastName="Ler")
    assert [each.id for each in client.crm.owners.owners_api.get_page().results] == [owner["id"]]
    assert [each.id for each in client.crm.pipelines.pipelines_api.get_all("deals").results] == ["default"]
    assert "hs_merged_object_ids" in {each.name for each in client.crm.properties.core_api.get_all("deals").results}
    made = client.crm.companies.basic_api.create({"properties": {"name": "Acme"}})
    client.crm.companies.basic_api.update(made.id, {"properties": {"name": "Acme Ltd"}})
    client.crm.companies.basic_api.archive(made.id)
    assert [each.id for each in client.crm.companies.basic_api.get_page(archived=True).results] == [made.id]
    pair = [portal.create("contacts", [{"firstname": name}])[0] for name in ("A", "B")]
    merged = client.crm.contacts.basic_api.merge({"primaryObjectId": pair[0], "objectIdToMerge": pair[1]})
    assert merged.properties["hs_merged_object_ids"] == ";".join(pair)
    assert client.crm.contacts.basic_api.get_by_id(pair[1]).id == merged.id
