"""The sandbox org behaves as its reader relies on, and simple-salesforce cannot tell it from the real one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession, SalesforceMalformedRequest

from demo.sandbox import Running, serve
from demo.sandbox.salesforce_api import SIMULATOR
from demo.sandbox.soql import SoqlError, parse

START = datetime(2026, 1, 1, tzinfo=UTC)


class _OverHttp(requests.Session):
    """simple-salesforce always says https, and salesforce.com when it logs in."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, self._base + "/" + url.split("/", 3)[3], *args, **options)


class Simulator:
    """Who lives in the org."""

    def __init__(self, base: str) -> None:
        self._client = httpx.Client(base_url=base, headers={"authorization": f"Bearer {SIMULATOR}"})

    def do(self, action: str, **body: Any) -> Any:
        answer = self._client.post(f"/sandbox/{action}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def clock(self, moment: datetime) -> None:
        self.do("clock", now=moment.isoformat())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serve("salesforce", 0, tmp_path / "salesforce.sqlite") as running:
        yield running


@pytest.fixture
def simulator(running: Running) -> Simulator:
    simulator = Simulator(running.url)
    simulator.clock(START)
    return simulator


def log_in(running: Running) -> Salesforce:
    session = _OverHttp(running.url)
    return Salesforce(consumer_key="sandbox", consumer_secret="sandbox", domain="acme.my", session=session)


@pytest.fixture
def org(running: Running, simulator: Simulator) -> Salesforce:
    return log_in(running)


def select(org: Salesforce, soql: str, *, deleted: bool = False) -> list[dict[str, Any]]:
    return list(org.query_all(soql, include_deleted=deleted)["records"])


def ids(org: Salesforce, soql: str, *, deleted: bool = False) -> list[str]:
    return [record["Id"] for record in select(org, soql, deleted=deleted)]


def test_the_official_client_makes_reads_changes_and_deletes(org: Salesforce) -> None:
    account = org.Account.create({"Name": "Acme", "Industry": "Farming"})["id"]
    assert len(account) == 18
    assert org.Account.get(account)["Name"] == "Acme"
    assert org.Account.update(account, {"Industry": "Fishing"}) == 204
    assert select(org, f"SELECT Industry FROM Account WHERE Id = '{account}'")[0]["Industry"] == "Fishing"  # noqa: S608
    assert org.Account.delete(account) == 204
    assert ids(org, "SELECT Id FROM Account") == []
    assert ids(org, "SELECT Id FROM Account WHERE IsDeleted = true", deleted=True) == [account]
    with pytest.raises(SalesforceError):
        org.Account.get(account)
    assert {field["name"] for field in org.Account.describe()["fields"] if field["calculated"]} == {"Open_Pipeline__c"}


def test_an_external_id_names_a_record(org: Salesforce) -> None:
    assert org.Lead.upsert("External_Key__c/k1", {"LastName": "One", "Company": "x"}) == 201
    assert org.Lead.upsert("External_Key__c/k1", {"LastName": "Two"}) == 204
    assert org.Lead.get_by_custom_id("External_Key__c", "k1")["Name"] == "Two"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Amount > 20", "c"),
        ("Amount >= 20 AND Amount < 30", "b"),
        ("(Name = 'a' OR Name = 'c') AND IsDeleted = false", "ac"),
        ("Name IN ('b', 'c')", "bc"),
        ("NextStep = null", "ac"),
        ("NextStep != null", "b"),
        ("CloseDate <= 2026-02-02", "ab"),
        ("SystemModstamp > 2026-01-01T00:00:00Z", "bc"),
        ("SystemModstamp > 2026-01-01T01:00:00.000+01:00", "bc"),
        ("IsClosed = true", "c"),
        ("Name = 'it\\'s'", ""),
        ("Name != 'a' ORDER BY Amount DESC LIMIT 1", "c"),
    ],
)
def test_queries_find_what_they_should(org: Salesforce, simulator: Simulator, where: str, expected: str) -> None:
    for n, name in enumerate("abc"):
        simulator.clock(START + timedelta(hours=n))
        stage = "Closed Won" if name == "c" else "Prospecting"
        more = {"NextStep": "call"} if name == "b" else {}
        fields = {"Amount": 10 * (n + 1), "CloseDate": f"2026-02-0{n + 1}", "StageName": stage, **more}
        org.Opportunity.create({"Name": name, **fields})
    found = select(org, f"SELECT Name FROM Opportunity WHERE {where}")  # noqa: S608
    assert "".join(sorted(each["Name"] for each in found)) == expected


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Nothing FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 3", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE SystemModstamp > '2026-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Account; DROP TABLE records", "MALFORMED_QUERY"),
    ],
)
def test_a_query_that_is_wrong_is_refused_by_its_code(org: Salesforce, soql: str, code: str) -> None:
    with pytest.raises(SoqlError) as refusal:
        parse(soql)
    assert refusal.value.code == code
    with pytest.raises(SalesforceMalformedRequest, match=code):
        org.query(soql)


def test_pages_of_a_query_hold_every_record_once_in_order(org: Salesforce, simulator: Simulator) -> None:
    simulator.do("behave", page=3)
    made = [org.Lead.create({"LastName": f"l{n}", "Company": "x"})["id"] for n in range(10)]
    first = org.query("SELECT Id FROM Lead ORDER BY SystemModstamp, Id")
    assert (first["totalSize"], first["done"], len(first["records"])) == (10, False, 3)
    assert ids(org, "SELECT Id FROM Lead ORDER BY SystemModstamp, Id") == sorted(made)
    stamps = {each["SystemModstamp"] for each in select(org, "SELECT SystemModstamp FROM Lead")}
    assert len(stamps) == 1, "on a standing clock records share a stamp"
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_QUERY_LOCATOR"):
        org.query_more("01g000000000000-3")


def test_the_official_client_reads_a_bulk_job_page_by_page(org: Salesforce, simulator: Simulator) -> None:
    account = org.Account.create({"Name": 'A, "quoted"\nand broken', "Region__c": "eu"})["id"]
    made = {org.Contact.create({"LastName": f"n{n}", "AccountId": account})["id"] for n in range(7)}
    gone = made.pop()
    org.Contact.delete(gone)
    soql = "SELECT Id, Account.Name, Account.Region__c, IsDeleted, SystemModstamp FROM Contact"
    for deleted, expected in ((False, made), (True, made | {gone})):
        ask = org.bulk2.Contact.query_all if deleted else org.bulk2.Contact.query
        pages = list(ask(soql, max_records=3, wait=0))
        assert len(pages) == -(-len(expected) // 3)
        rows = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
        assert {row["Id"] for row in rows} == expected
        assert {row["Account.Name"] for row in rows} == {'A, "quoted"\nand broken'}
        assert {row["SystemModstamp"] for row in rows} == {"2026-01-01T00:00:00.000Z"}
        assert {row["IsDeleted"] for row in rows} == ({"true", "false"} if deleted else {"false"})


def test_formula_and_roll_up_fields_change_without_a_stamp(org: Salesforce, simulator: Simulator) -> None:
    account = org.Account.create({"Name": "A", "Industry": "Farming"})["id"]
    simulator.clock(START + timedelta(hours=1))
    opportunity = org.Opportunity.create(
        {"Name": "O", "AccountId": account, "Amount": 12.5, "StageName": "Prospecting"}
    )["id"]
    soql = "SELECT Open_Pipeline__c, SystemModstamp FROM Account"
    (before,) = select(org, soql)
    assert (before["Open_Pipeline__c"], before["SystemModstamp"][:13]) == (12.5, "2026-01-01T00")
    org.Opportunity.update(opportunity, {"StageName": "Closed Won"})
    assert select(org, soql)[0] == before | {"Open_Pipeline__c": 0}
    org.Account.update(account, {"Industry": "Fishing"})
    formula = select(org, "SELECT Account_Industry__c, Account.Industry FROM Opportunity")[0]
    assert (formula["Account_Industry__c"], formula["Account"]["Industry"]) == ("Fishing", "Fishing")


def test_tracked_fields_leave_a_history(org: Salesforce) -> None:
    opportunity = org.Opportunity.create({"Name": "O", "StageName": "Prospecting"})["id"]
    org.Opportunity.update(opportunity, {"StageName": "Qualification", "Description": "untracked"})
    found = select(org, "SELECT Field, OldValue, NewValue FROM OpportunityFieldHistory ORDER BY Id")
    assert [(each["Field"], each["OldValue"], each["NewValue"]) for each in found] == [
        ("created", None, None),
        ("StageName", "Prospecting", "Qualification"),
    ]


def test_what_is_deleted_takes_what_belongs_to_it_along_and_brings_it_back(
    org: Salesforce, simulator: Simulator
) -> None:
    account = org.Account.create({"Name": "A"})["id"]
    early = org.Contact.create({"LastName": "early", "AccountId": account})["id"]
    late = org.Contact.create({"LastName": "late", "AccountId": account})["id"]
    org.Contact.delete(early)
    simulator.clock(START + timedelta(hours=1))
    org.Account.delete(account)
    assert ids(org, "SELECT Id FROM Contact") == []
    stamped = ids(org, "SELECT Id FROM Contact WHERE SystemModstamp >= 2026-01-01T01:00:00Z", deleted=True)
    assert stamped == [late]
    simulator.do("undelete", ids=[account])
    assert ids(org, "SELECT Id FROM Contact") == [late], "what was deleted by itself stays in the bin"


def test_a_merge_leaves_the_survivor_with_everything(org: Salesforce, simulator: Simulator) -> None:
    master, loser = (org.Account.create({"Name": name})["id"] for name in "AB")
    contact = org.Contact.create({"LastName": "c", "AccountId": loser})["id"]
    simulator.do("merge", master=master, losers=[loser])
    assert org.Contact.get(contact)["AccountId"] == master
    (gone,) = select(org, "SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = true", deleted=True)
    assert (gone["Id"], gone["MasterRecordId"]) == (loser, master)
    simulator.clock(START + timedelta(days=14))
    assert simulator.do("purge")["purged"] == 0
    simulator.clock(START + timedelta(days=16))
    assert simulator.do("purge")["purged"] == 1
    assert ids(org, "SELECT Id FROM Account", deleted=True) == [master]


def test_an_expired_session_is_renewed_by_the_official_client(org: Salesforce, simulator: Simulator) -> None:
    simulator.do("expire")
    assert org.query("SELECT COUNT() FROM Account")["totalSize"] == 0
    direct = Salesforce(session_id="00Dsandbox!7", instance=org.sf_instance, session=org.session)
    with pytest.raises(SalesforceExpiredSession):
        direct.query("SELECT COUNT() FROM Account")


def test_requests_are_metered(org: Salesforce, simulator: Simulator) -> None:
    simulator.do("behave", used=7, limit=10)
    assert org.limits()["DailyApiRequests"] == {"Max": 10, "Remaining": 2}
    assert org.api_usage["api-usage"] == (8, 10)
    for _ in range(2):
        org.limits()
    with pytest.raises(SalesforceError, match="REQUEST_LIMIT_EXCEEDED"):
        org.limits()


def test_a_stranger_is_not_let_in(running: Running) -> None:
    session = _OverHttp(running.url)
    with pytest.raises(SalesforceError):
        Salesforce(consumer_key="sandbox", consumer_secret="guess", domain="acme.my", session=session)
    assert httpx.get(f"{running.url}/services/data/v62.0/limits").status_code == 401
    assert httpx.post(f"{running.url}/sandbox/purge", json={}).status_code == 401


def test_a_refresh_token_gives_a_session_at_the_address_that_was_asked(running: Running) -> None:
    grant = {"grant_type": "refresh_token", "client_id": "sandbox", "client_secret": "sandbox"}
    where = f"{running.url}/services/oauth2/token"
    made = httpx.post(where, data=grant | {"refresh_token": "sandbox"}).json()
    assert made["instance_url"] == running.url
    headers = {"authorization": f"Bearer {made['access_token']}"}
    assert httpx.get(f"{made['instance_url']}/services/data/v62.0/sobjects", headers=headers).is_success
    # something in between ended TLS, and what follows is to go there, too
    behind = httpx.post(
        where, data=grant | {"refresh_token": "sandbox"}, headers={"host": "login.salesforce.com"}
    ).json()
    assert behind["instance_url"] == "https://login.salesforce.com"
    assert httpx.post(where, data=grant | {"refresh_token": "another"}).json()["error"] == "invalid_grant"
