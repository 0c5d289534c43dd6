"""Salesforce in raw equals the org: after the first sync, after random changes, and whatever goes wrong between."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from ingestion import salesforce
from settings import Redaction, TailraceError
from tests.ingestion.salesforce.support import (
    NAMES,
    TABLES,
    WAYS,
    Deployments,
    Org,
    all_rows,
    assert_equal,
    in_both_ways,
    live_rows,
)
from warehouse import DuckDBWarehouse, positions

LONG = timedelta(hours=1)  # more than the overlap
WHOLE = {"compare_hours": 0, "reconcile_hours": 0}


def position(warehouse: DuckDBWarehouse, name: str) -> dict[str, Any]:
    with warehouse.reader() as con:
        found = positions.read(con, "salesforce", name)
    assert found is not None
    return found


def test_full_then_incremental_equals_the_org(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url)
    first = salesforce.sync(settings, warehouse)
    assert first.mode == "full"
    assert first.landed["Contact"] == 3 * 2
    assert_equal(warehouse, org)

    org.pass_time(LONG)
    account = org.account("newcomer")
    org.change("Account", account, Industry="Fishing")
    second = salesforce.sync(settings, warehouse)
    assert second.mode == "incremental"
    assert second.landed["Contact"] == 2
    assert_equal(warehouse, org)


def test_a_sync_of_nothing_new_rewrites_nothing(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url, **WHOLE)
    salesforce.sync(settings, warehouse)
    before = {name: all_rows(warehouse, name) for name in NAMES}
    again = salesforce.sync(settings, warehouse)
    assert (again.rows, again.deleted.total()) == (0, 0)
    assert {name: all_rows(warehouse, name) for name in NAMES} == before


def test_an_empty_org_lands_nothing_and_its_first_record_later(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    assert live_rows(warehouse, "Event") == {}
    org.create("Event", Subject="Workshop", StartDateTime="2026-01-05T10:00:00.000+0000")
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


@in_both_ways
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.operations)])
def test_raw_equals_the_org_after_random_changes(org: Org, deployment: Deployments, way: str, seed: int) -> None:
    rng = random.Random(seed)
    org.do("behave", page=5)
    for step in range(5):
        settings, warehouse = deployment(org.url, bulk_from=WAYS[way])
        for _ in range(rng.randrange(1, 8)):
            change_something(org, rng)
            if rng.random() < 0.5:
                org.pass_time(timedelta(seconds=rng.randrange(3_000)))
        salesforce.sync(settings, warehouse)
        assert_equal(warehouse, org, calculated=step == 0)
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way], **WHOLE)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


def change_something(org: Org, rng: random.Random) -> None:
    """Anything that leaves a stamp."""
    table = rng.choice([each for each in TABLES if each.name not in ("User", "Campaign", "OpportunityFieldHistory")])
    found = sorted(org.all(table))
    match rng.randrange(6):
        case 0:
            org.account(f"a{rng.random()}")
        case 1 if table.name in ("Account", "Contact", "Lead") and len(found) > 2:
            org.do("merge", master=found[0], losers=rng.sample(found[1:], 1))
        case 2 if found:
            gone = rng.choice(found)
            org.delete(table.name, gone)
            if rng.random() < 0.4:
                org.do("undelete", ids=[gone])
        case 3:
            org.create_all("Lead", [{"LastName": f"l{n}", "Company": "x"} for n in range(rng.randrange(1, 15))])
        case _ if found and table.name != "OpportunityContactRole":
            field = "Description" if table.name != "OpportunityLineItem" else "ProductCode"
            org.change(table.name, rng.choice(found), **{field: f'd{rng.random()}, "quoted"\nand broken'})


@in_both_ways
def test_more_records_of_one_stamp_than_a_page_holds_are_each_found_once(
    org: Org, deployment: Deployments, way: str
) -> None:
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way])
    salesforce.sync(settings, warehouse)
    org.pass_time(LONG)
    org.create_all("Lead", [{"LastName": f"l{n}", "Company": "x"} for n in range(23)])
    org.do("behave", page=5)
    report = salesforce.sync(settings, warehouse)
    assert report.landed["Lead"] == 23
    assert len({row["SystemModstamp"] for row in live_rows(warehouse, "Lead").values()}) == 2
    assert_equal(warehouse, org)


def test_a_record_that_was_stamped_before_it_was_committed_is_found_within_the_overlap(
    org: Org, deployment: Deployments
) -> None:
    settings, warehouse = deployment(org.url)
    org.pass_time(LONG)
    org.create("Lead", LastName="Newest", Company="x")
    salesforce.sync(settings, warehouse)
    begun = int((org.now - timedelta(minutes=5)).timestamp() * 1000)
    org.do("create", object="Lead", fields={"LastName": "Late", "Company": "x"}, stamp=begun)
    assert salesforce.sync(settings, warehouse).landed["Lead"] == 1
    assert_equal(warehouse, org)


def test_a_record_that_changes_while_pages_are_read_does_not_carry_the_cursor_along(
    org: Org, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after such a page, the next sync must still read what stood between."""
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    for n in range(12):
        org.pass_time(LONG)
        org.create("Lead", LastName=f"l{n}", Company="x")
    newest = org.now
    org.do("behave", page=4)
    org.pass_time(LONG)
    leads = sorted(org.all(next(t for t in TABLES if t.name == "Lead")))
    from ingestion.salesforce.api import Org as Client

    asked, more = [], Client.query_more

    def busy(self: Client, locator: str) -> Any:
        asked.append(locator)
        if len(asked) == 1:
            org.change("Lead", leads[7], Title="changed meanwhile")
        if len(asked) == 2:
            raise KeyboardInterrupt
        return more(self, locator)

    monkeypatch.setattr(Client, "query_more", busy)
    with pytest.raises(KeyboardInterrupt):
        salesforce.sync(settings, warehouse)
    stood = position(warehouse, "Lead")["changes"]
    assert datetime.fromisoformat(stood["after"][0]) < newest
    monkeypatch.setattr(Client, "query_more", more)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


# deletes, merges, and what leaves no stamp


def test_a_deleted_record_stays_without_a_personal_value_and_comes_back_whole(
    org: Org, deployment: Deployments
) -> None:
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    gone = next(iter(live_rows(warehouse, "Contact").values()))
    org.pass_time(LONG)
    org.delete("Contact", gone["Id"])
    assert salesforce.sync(settings, warehouse).deleted["Contact"] == 1
    row = all_rows(warehouse, "Contact")[gone["Id"]]
    assert row["_ab_cdc_deleted_at"] is not None
    assert (row["LastName"], row["Name"], row["OwnerId"]) == (None, None, None)
    assert row["AccountId"] == gone["AccountId"]
    assert salesforce.sync(settings, warehouse).deleted.total() == 0
    org.pass_time(LONG)
    org.do("undelete", ids=[gone["Id"]])
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


def test_a_deleted_account_takes_what_belongs_to_it_along(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    org.pass_time(LONG)
    account = next(iter(live_rows(warehouse, "Account")))
    org.delete("Account", account)
    deleted = salesforce.sync(settings, warehouse).deleted
    assert deleted["Contact"] == 2
    assert deleted["OpportunityLineItem"] == deleted["OpportunityFieldHistory"] == 1
    assert_equal(warehouse, org, calculated=False)


@pytest.mark.parametrize("name", ["Account", "Contact", "Lead"])
def test_a_merged_record_is_deleted_and_its_survivor_noted(org: Org, deployment: Deployments, name: str) -> None:
    org.create("Lead", LastName="Lead again", Company="Nobody")
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    org.pass_time(LONG)
    master, loser, *_ = sorted(live_rows(warehouse, name))
    org.do("merge", master=master, losers=[loser])
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org, calculated=False)
    (merge,) = live_rows(warehouse, "RecordMerge").values()
    assert (merge["Id"], merge["MasterRecordId"], merge["Object"]) == (loser, master, name)
    org.pass_time(LONG)
    org.do("undelete", ids=[loser])
    salesforce.sync(settings, warehouse)
    assert live_rows(warehouse, "RecordMerge") == {}
    assert_equal(warehouse, org, calculated=False)


@in_both_ways
def test_what_left_the_recycle_bin_unseen_is_found_by_the_whole(org: Org, deployment: Deployments, way: str) -> None:
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way])
    salesforce.sync(settings, warehouse)
    contacts = sorted(live_rows(warehouse, "Contact"))
    org.delete("Contact", contacts[0])
    org.pass_time(timedelta(days=16))
    assert org.do("purge")["purged"] > 0
    salesforce.sync(settings, warehouse)
    assert contacts[0] in live_rows(warehouse, "Contact"), "nothing tells of it"
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way], **WHOLE)
    assert salesforce.sync(settings, warehouse).deleted["Contact"] == 1
    assert_equal(warehouse, org)


@in_both_ways
def test_formula_and_roll_up_fields_follow_by_comparison_alone(org: Org, deployment: Deployments, way: str) -> None:
    org.pass_time(LONG)
    org.account("newest")  # so that the overlap does not reach back to the others
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way])
    salesforce.sync(settings, warehouse)
    org.pass_time(LONG)
    accounts = live_rows(warehouse, "Account")
    opportunities = live_rows(warehouse, "Opportunity")
    changed = next(iter(opportunities.values()))
    org.change("Opportunity", changed["Id"], Amount=99_999.25)
    org.change("Account", changed["AccountId"], Industry="Shipping")
    other = next(each for each in opportunities.values() if each["AccountId"] != changed["AccountId"])
    org.change("Opportunity", other["Id"], Amount=7)
    salesforce.sync(settings, warehouse)
    stale = live_rows(warehouse, "Account")[other["AccountId"]]
    assert stale["Open_Pipeline__c"] == accounts[other["AccountId"]]["Open_Pipeline__c"]
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way], compare_hours=0)
    report = salesforce.sync(settings, warehouse)
    assert live_rows(warehouse, "Account")[other["AccountId"]]["Open_Pipeline__c"] == "7"
    assert report.landed["Account"] == 1, "a row that did not change is not rewritten"
    assert report.landed["Contact"] == 0
    assert_equal(warehouse, org)


def test_history_that_the_org_forgets_stays(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url, **WHOLE)
    salesforce.sync(settings, warehouse)
    history = set(live_rows(warehouse, "OpportunityFieldHistory"))
    kept = sorted(history)[0]
    opportunity = live_rows(warehouse, "OpportunityFieldHistory")[kept]["OpportunityId"]
    for key in history - {kept}:
        org.delete("OpportunityFieldHistory", key)
    org.do("purge", ids=sorted(history - {kept}))
    salesforce.sync(settings, warehouse)
    assert set(live_rows(warehouse, "OpportunityFieldHistory")) == history
    org.delete("Opportunity", opportunity)
    salesforce.sync(settings, warehouse)
    assert set(live_rows(warehouse, "OpportunityFieldHistory")) == history - {kept}


def test_a_clock_that_was_set_back_is_made_good_by_the_whole(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url)
    org.pass_time(timedelta(days=2))
    org.create("Lead", LastName="From tomorrow", Company="x")
    salesforce.sync(settings, warehouse)
    org.pass_time(-timedelta(days=2))
    org.create("Lead", LastName="From today", Company="x")
    salesforce.sync(settings, warehouse)
    settings, warehouse = deployment(org.url, **WHOLE)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


# residency


def test_each_region_lands_its_own_and_the_unattributed_once(org: Org, deployment: Deployments) -> None:
    for name, region in (("madrid", "eu"), ("york", "us"), ("nowhere", None)):
        org.account(name, region)
    for region in ("us", "eu"):
        settings, warehouse = deployment(org.url, region=region)
        report = salesforce.sync(settings, warehouse)
        assert_equal(warehouse, org, region=region)
        assert report.filtered["OpportunityLineItem"] > 0
        with warehouse.reader() as con:
            text = str([con.execute(f'from raw_salesforce."{name}"').fetchall() for name in NAMES])
        assert ("madrid" in text) is (region == "eu")
        assert ("york" in text) is (region == "us")


def test_regions_that_are_hidden_later_stop_the_sync(org: Org, deployment: Deployments) -> None:
    """Without them another region's accounts would land as if they named none."""
    org.account("madrid", "eu")
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    org.do("behave", hidden=["Account.Region__c"])
    with pytest.raises(TailraceError, match="Region__c"):
        salesforce.sync(settings, warehouse)


@in_both_ways
def test_an_account_that_moves_takes_what_belongs_to_it_along(org: Org, deployment: Deployments, way: str) -> None:
    homes = {}
    for region in ("us", "eu"):
        homes[region] = deployment(org.url, region=region, bulk_from=WAYS[way])
        salesforce.sync(*homes[region])
    org.pass_time(LONG)
    account = sorted(live_rows(homes["us"][1], "Account"))[0]
    org.change("Account", account, Region__c="eu")
    for region, (settings, warehouse) in homes.items():
        salesforce.sync(settings, warehouse)
        assert_equal(warehouse, org, region=region, calculated=False)


# what is asked for


def test_fields_that_no_contract_classifies_are_counted_and_do_not_land(org: Org, deployment: Deployments) -> None:
    org.create("Lead", LastName="x", Company="x", External_Key__c="hush-hush")
    settings, warehouse = deployment(org.url)
    report = salesforce.sync(settings, warehouse)
    assert report.unclassified["Lead"] == {"External_Key__c": 1}
    assert "hush-hush" not in str(all_rows(warehouse, "Lead"))


def test_fields_that_the_org_does_not_show_land_empty_and_are_told(org: Org, deployment: Deployments) -> None:
    org.do("behave", hidden=["Lead.Rating", "Account.Region__c"])
    settings, warehouse = deployment(org.url)
    report = salesforce.sync(settings, warehouse)
    assert report.missing == {"Lead": ("Rating",), "Account": ("Region__c",)}
    assert set(live_rows(warehouse, "Contact")) == set(org.all(next(t for t in TABLES if t.name == "Contact")))


def test_an_object_of_the_configuration_lands_by_its_classes_and_follows_its_account(
    org: Org, deployment: Deployments
) -> None:
    madrid, york = org.account("madrid", "eu"), org.account("york", "us")
    visits = [
        org.create("Visit__c", Account__c=account, Notes__c="Rainy", Minutes__c="40") for account in (madrid, york)
    ]
    objects = "{Visit__c: {account: Account__c, fields: {Notes__c: free_text, Minutes__c: operational}}}"
    settings, warehouse = deployment(org.url, objects=objects)
    report = salesforce.sync(settings, warehouse)
    (row,) = live_rows(warehouse, "Visit__c").values()
    assert (row["Id"], row["Notes__c"], row["Minutes__c"]) == (visits[1], "Rainy", "40")
    assert report.unclassified["Visit__c"].keys() >= {"External_Key__c"}
    org.pass_time(LONG)
    org.delete("Visit__c", visits[1])
    salesforce.sync(settings, warehouse)
    (row,) = all_rows(warehouse, "Visit__c").values()
    assert (row["Notes__c"], row["Minutes__c"]) == (None, "40"), "what is personal goes with the record"
    settings, warehouse = deployment(org.url, objects="{Visit__c: {fields: {Notes__c: secret}}}")
    with pytest.raises(TailraceError, match=r"Visit__c.*unknown class secret"):
        salesforce.sync(settings, warehouse)


def test_a_text_of_a_configured_object_lands_redacted_and_compares_equal(org: Org, deployment: Deployments) -> None:
    account = org.account("york", "us")
    org.create("Visit__c", Account__c=account, Notes__c="Met bob@example.com", Minutes__c="40")
    settings, warehouse = deployment(
        org.url,
        objects="{Visit__c: {account: Account__c, fields: {Notes__c: scanned_text}}}",
        reconcile_hours="0",
    )
    privacy = settings.privacy.model_copy(update={"redaction": Redaction(at_landing="presidio")})
    settings = settings.model_copy(update={"privacy": privacy})
    salesforce.sync(settings, warehouse)
    (row,) = live_rows(warehouse, "Visit__c").values()
    assert row["Notes__c"] == "Met [email]"
    org.pass_time(LONG)
    report = salesforce.sync(settings, warehouse)
    assert not report.repaired["Visit__c"]
    assert live_rows(warehouse, "Visit__c")[row["Id"]]["_airbyte_raw_id"] == row["_airbyte_raw_id"]


def test_an_object_that_the_org_does_not_show_is_named_unless_it_is_left_out(org: Org, deployment: Deployments) -> None:
    org.do("behave", hidden=["Campaign"])
    settings, warehouse = deployment(org.url)
    with pytest.raises(TailraceError, match=r"no object Campaign.*without"):
        salesforce.sync(settings, warehouse)
    settings, warehouse = deployment(org.url, without="[Campaign]")
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org, names=set(NAMES) - {"Campaign"})


def test_without_an_org_there_are_empty_tables(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url)
    sources = settings.sources.model_copy(update={"salesforce": None})
    report = salesforce.sync(settings.model_copy(update={"sources": sources}), warehouse)
    assert report.requests == 0
    assert all(live_rows(warehouse, name) == {} for name in (*NAMES, "RecordMerge"))
