"""What Stripe does on bad days, and several accounts: nothing is lost, nothing doubled, and what was mended is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox.exchange import Answer, Request
from demo.sandbox.server import Running, listen, open_api
from demo.sandbox.store import State
from demo.sandbox.stripe_store import SCHEMA
from ingestion import stripe
from ingestion.rest import engine, patience
from ingestion.stripe.feed import StripeReading
from tests.ingestion.rest.support import STRIPE_KEY, Deployments, SandboxClient, assert_equal_rows, live_rows
from tests.ingestion.rest.test_stripe import Account, live_on
from warehouse import DuckDBWarehouse

Tamper = Callable[[Request, dict[str, Any]], "dict[str, Any] | None"]


class Tampered:
    """A Stripe sandbox of which ``tamper`` changes the answers to GETs: the document, or None for a 500."""

    def __init__(self, state: Path) -> None:
        self._api = open_api("stripe", state)
        self.tamper: Tamper | None = None

    def answer(self, request: Request) -> Answer:
        answer = self._api.answer(request)
        if self.tamper is None or request.method != "GET" or answer.status != 200:
            return answer
        document = self.tamper(request, json.loads(answer.body))
        if document is None:
            return Answer(500, '{"error": {"type": "api_error"}}')
        return Answer(200, json.dumps(document), answer.headers)

    def close(self) -> None:
        self._api.close()


@pytest.fixture
def tampered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tampered, Account]]:
    monkeypatch.setattr(engine, "patience", lambda **_: patience(attempts=2, backoff=0.01))
    api = Tampered(tmp_path / "tampered.sqlite")
    with Running("stripe", api, listen(0)) as server:
        account = Account(SandboxClient(server.url, STRIPE_KEY))
        for number in range(4):
            account.subscribe(account.customer(f"tenant{number}"), number + 1, coupon=number % 2 == 0)
        account.pass_days(35)
        yield api, account


def assert_equal(warehouse: DuckDBWarehouse, account: Account, *, but: tuple[str, ...] = ()) -> None:
    for stream, objects in account.streams().items():
        if stream not in but:
            assert_equal_rows(warehouse, "stripe", stream, objects)


def without(identifiers: set[str]) -> Tamper:
    def tamper(request: Request, document: dict[str, Any]) -> dict[str, Any]:
        if request.path != "/v1/events":
            return document
        return document | {"data": [each for each in document["data"] if each["id"] not in identifiers]}

    return tamper


def test_an_event_that_comes_late_changes_nothing_that_a_newer_one_told(
    tampered: tuple[Tampered, Account], deployment: Deployments
) -> None:
    api, account = tampered
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    one, two, three = account.all("customers")[:3]
    known = {event["id"] for event in account.all("events")}
    account.api.form(f"/v1/customers/{one['id']}", name="First")
    account.api.form(f"/v1/customers/{three['id']}", name="Told by no other")
    late = {event["id"] for event in account.all("events")} - known
    account.now += 60
    account.pass_days(0)
    account.api.form(f"/v1/customers/{one['id']}", name="Second")
    account.api.form(f"/v1/customers/{two['id']}", name="Other")
    hidden = {event["id"] for event in account.all("events")} - known - late
    api.tamper = without(late)
    stripe.sync(settings, warehouse)
    assert set(live_rows(warehouse, "raw_stripe.events")) == known | hidden
    api.tamper = None
    report = stripe.sync(settings, warehouse)
    assert (report.late, report.asked) == (2, 2)
    assert live_rows(warehouse, "raw_stripe.customers")[one["id"]]["name"] == "Second"
    assert_equal(warehouse, account)
    assert stripe.sync(settings, warehouse).rows == 0


def test_a_feed_in_disorder_and_in_another_version_gives_the_same_rows(
    tampered: tuple[Tampered, Account], deployment: Deployments
) -> None:
    api, account = tampered
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    live_on(account)

    def disorder(request: Request, document: dict[str, Any]) -> dict[str, Any]:
        if request.path != "/v1/events":
            return document
        half = len(document["data"]) // 2
        shuffled = document["data"][half:] + document["data"][:half]
        older = [each | {"api_version": "2020-08-27"} if n % 3 == 0 else each for n, each in enumerate(shuffled)]
        return document | {"data": older}

    api.tamper = disorder
    report = stripe.sync(settings, warehouse)
    assert report.asked > 0
    assert_equal(warehouse, account, but=("events",))
    assert set(live_rows(warehouse, "raw_stripe.events")) == {each["id"] for each in account.all("events")}


@pytest.mark.parametrize("stream", ["invoices", "events"])
def test_a_record_that_breaks_its_page_is_left_out_told_and_landed_when_it_can_be_read(
    tampered: tuple[Tampered, Account], deployment: Deployments, stream: str
) -> None:
    api, account = tampered
    broken = account.all(stream)[len(account.all(stream)) // 2]
    second = broken["created"]

    def poison(request: Request, document: dict[str, Any]) -> dict[str, Any] | None:
        listed = document.get("data") if request.path == f"/v1/{stream}" else None
        if listed and any(each["id"] == broken["id"] for each in listed):
            return None
        return document

    settings, warehouse = deployment(stripe=account.api.url)
    api.tamper = poison
    report = stripe.sync(settings, warehouse)
    assert report.skipped[stream] == 1
    rows = set(live_rows(warehouse, f"raw_stripe.{stream}"))
    api.tamper = None
    others = {each["id"] for each in account.all(stream) if each["created"] != second}
    assert others <= rows
    assert broken["id"] not in rows

    report = stripe.sync(settings, warehouse)
    assert report.skipped[stream] == 0
    assert_equal(warehouse, account)


def test_an_event_that_breaks_its_page_is_answered_by_reading_what_could_have_changed(
    tampered: tuple[Tampered, Account], deployment: Deployments
) -> None:
    api, account = tampered
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    customer = account.all("customers")[0]["id"]
    account.api.form(f"/v1/customers/{customer}", name="Unheard of")
    broken = account.all("events")[0]["id"]
    account.now += 5
    account.pass_days(0)
    account.api.form(f"/v1/customers/{customer}", phone="1")

    def poison(request: Request, document: dict[str, Any]) -> dict[str, Any] | None:
        listed = document.get("data") if request.path == "/v1/events" else None
        return None if listed and any(each["id"] == broken for each in listed) else document

    api.tamper = poison
    report = stripe.sync(settings, warehouse)
    assert "cannot be read" in str(report.note)
    assert_equal_rows(warehouse, "stripe", "customers", account.all("customers"))
    again = stripe.sync(settings, warehouse)
    assert (again.mode, again.skipped["events"]) == ("incremental", 1), "it is known now, and asked for again"


@pytest.mark.unlike_stripe
def test_what_is_no_record_is_counted_and_the_others_of_its_page_land(
    tampered: tuple[Tampered, Account], deployment: Deployments
) -> None:
    api, account = tampered

    def junk(request: Request, document: dict[str, Any]) -> dict[str, Any]:
        if request.path != "/v1/charges":
            return document
        return document | {"data": [{"object": "charge"}, *document["data"]]}

    api.tamper = junk
    settings, warehouse = deployment(stripe=account.api.url)
    assert stripe.sync(settings, warehouse).skipped["charges"] == 1
    api.tamper = None
    assert_equal(warehouse, account)


def test_a_comparison_mends_what_no_event_told_and_says_so(
    tampered: tuple[Tampered, Account], deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, account = tampered
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    invoices = account.all("invoices")
    with warehouse.writer("drift") as con:
        con.execute("update raw_stripe.invoices set total = 1 where id = ?", [invoices[0]["id"]])
        con.execute("delete from raw_stripe.charges where id = ?", [account.all("charges")[0]["id"]])
        con.execute("insert into raw_stripe.products select * replace ('prod_gone' as id) from raw_stripe.products")
    monkeypatch.setattr(StripeReading, "due", lambda self: None if self.report.repaired else "comparison")
    report = stripe.sync(settings, warehouse)
    assert report.mode == "comparison"
    assert +report.repaired == {"invoices": 1, "charges": 1, "products": 1}
    assert_equal(warehouse, account)


def test_lists_within_objects_are_read_to_their_end(
    tampered: tuple[Tampered, Account], deployment: Deployments
) -> None:
    _, account = tampered
    settings, warehouse = deployment(stripe=account.api.url)

    def large(name: str) -> str:
        prices = [account.api.form("/v1/prices", **_price(account, n))["id"] for n in range(12)]
        items = {f"items[{n}][price]": price for n, price in enumerate(prices)}
        return str(account.api.form("/v1/subscriptions", customer=account.customer(name), **items)["id"])

    listed = large("listed")
    stripe.sync(settings, warehouse)
    told = large("told")
    stripe.sync(settings, warehouse)
    items = live_rows(warehouse, "raw_stripe.subscription_items").values()
    for subscription in (listed, told):
        assert sum(row["subscription"] == subscription for row in items) == 12
    gone = next(row["id"] for row in items if row["subscription"] == told)
    account.now += 9
    account.pass_days(0)
    remove = {"items[0][id]": gone, "items[0][deleted]": "true"}
    account.api.form(f"/v1/subscriptions/{told}", **remove)
    stripe.sync(settings, warehouse)
    assert gone not in live_rows(warehouse, "raw_stripe.subscription_items")
    assert_equal(warehouse, account)


def _price(account: Account, number: int) -> dict[str, str]:
    product = account.all("products")[0]["id"]
    amount = str(100 + number)
    return {"product": product, "currency": "usd", "unit_amount": amount, "recurring[interval]": "month"}


def test_a_balance_entry_that_settles_later_is_read_again(
    tampered: tuple[Tampered, Account], deployment: Deployments
) -> None:
    _, account = tampered
    settings, warehouse = deployment(stripe=account.api.url)
    account.subscribe(account.customer("late"))
    stripe.sync(settings, warehouse)
    pending = {each["id"] for each in account.all("balance_transactions") if each["status"] == "pending"}
    assert pending
    account.pass_days(3)
    stripe.sync(settings, warehouse)
    rows = live_rows(warehouse, "raw_stripe.balance_transactions")
    assert {rows[each]["status"] for each in pending} == {"available"}
    assert_equal(warehouse, account)


def test_accounts_land_side_by_side_and_each_row_says_whose_it_is(
    tampered: tuple[Tampered, Account], tmp_path: Path, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = tampered
    monkeypatch.setenv("TEST_OTHER_KEY", STRIPE_KEY)
    path = tmp_path / "other.sqlite"
    state = State(path, kind="stripe", schema=SCHEMA)
    state.set_meta("counter", 10**6)  # a sandbox counts its identifiers, Stripe never gives one twice
    state.close()
    with Running("stripe", open_api("stripe", path), listen(0)) as server:
        second = Account(SandboxClient(server.url, STRIPE_KEY))
        second.subscribe(second.customer("elsewhere"))
        for account in (first, second):
            account.api.form("/v1/coupons", id="SHARED", percent_off="1", duration="once")
        settings, warehouse = deployment(
            stripe=first.api.url, accounts={"main": "TEST_STRIPE_KEY", "other": ("TEST_OTHER_KEY", server.url)}
        )
        report = stripe.sync(settings, warehouse)
        assert report.skipped["coupons"] == 1, "an identifier that people choose may stand in both: the first keeps it"
        live_on(first)
        live_on_a_little(second)
        stripe.sync(settings, warehouse)
        for stream in ("customers", "invoices", "charges", "balance_transactions", "subscription_items"):
            whose = {each["id"]: "main" for each in first.streams()[stream]}
            whose |= {each["id"]: "other" for each in second.streams()[stream]}
            with warehouse.reader() as con:
                rows = con.execute(
                    f"select id, _airbyte_meta->>'origin' from raw_stripe.{stream} where _ab_cdc_deleted_at is null"  # noqa: S608
                ).fetchall()
            assert dict(rows) == whose
        assert stripe.sync(settings, warehouse).landed.total() == 0


def live_on_a_little(account: Account) -> None:
    customer = account.all("customers")[0]["id"]
    account.api.form(f"/v1/customers/{customer}", name="Moved")
    account.pass_days(31)
    spare = account.customer("spare")
    account.api.form(f"/v1/customers/{spare}", method="DELETE")
