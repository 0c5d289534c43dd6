"""Stripe in raw equals Stripe in the account: after the first sync, after the next, and whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import serve, stripe_objects
from ingestion import stripe
from settings import TailraceError
from tests.ingestion.rest.support import (
    REGIONS,
    STRIPE_KEY,
    Deployments,
    FaultyProxy,
    SandboxClient,
    assert_equal_rows,
    live_rows,
    sync_in_a_process,
)
from warehouse import DuckDBWarehouse

START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
DAY = 86_400
CLOCK = "/v1/test_helpers/test_clocks/clock_sandbox/advance"
PLAIN = (
    *("products", "prices", "coupons", "promotion_codes", "tax_rates", "customers", "subscription_schedules"),
    *("invoices", "credit_notes", "charges", "payment_intents", "refunds", "disputes", "payouts"),
    *("balance_transactions", "events"),
)
CUSTOMER_STREAMS = ("customers", "subscriptions", "invoices", "charges")


class Account:
    """A small business in a Stripe sandbox."""

    def __init__(self, api: SandboxClient) -> None:
        self.api = api
        self.now = START
        self.pass_days(0)
        product = api.form("/v1/products", name="Workflows")["id"]
        price = {"currency": "usd", "unit_amount": "1900", "recurring[interval]": "month"}
        self.price = api.form("/v1/prices", product=product, **price)["id"]
        self.coupon = api.form("/v1/coupons", percent_off="20", duration="forever")["id"]
        api.form("/v1/promotion_codes", **{"promotion[coupon]": self.coupon}, code="SPRING")
        api.form("/v1/tax_rates", display_name="VAT", percentage="19", inclusive="false")
        api.form(
            "/v1/billing/meters",
            display_name="Calls",
            event_name="calls",
            **{"default_aggregation[formula]": "sum"},
        )

    def pass_days(self, days: int) -> None:
        self.now += days * DAY
        self.api.form(CLOCK, frozen_time=str(self.now))

    def customer(self, name: str, region: str | None = "us", **fields: str) -> str:
        attributed = {"metadata[tenant_id]": f"tenant-{name}", "metadata[region]": region} if region else {}
        person = {"name": name, "email": f"{name}@example.com"}
        card = {"invoice_settings[default_payment_method]": "pm_card_visa"}
        return str(self.api.form("/v1/customers", **person, **attributed, **card, **fields)["id"])

    def subscribe(self, customer: str, quantity: int = 3, *, coupon: bool = False) -> str:
        discount = {"discounts[0][coupon]": self.coupon} if coupon else {}
        items = {"items[0][price]": self.price, "items[0][quantity]": str(quantity)}
        return str(self.api.form("/v1/subscriptions", customer=customer, **items, **discount)["id"])

    def refund_one(self, customer: str) -> None:
        charge = self.api.get("/v1/charges", customer=customer, limit="1")["data"][0]
        self.api.form("/v1/refunds", charge=charge["id"], amount="100")

    def all(self, stream: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = self.api.get(f"/v1/{stream}", limit="100", **query, **after)
            found += page["data"]
            more = page["has_more"]
        return found

    def discounts(self) -> list[dict[str, Any]]:
        expanded = self.all("subscriptions", status="all", **{"expand[]": "data.discounts"})
        return [discount for subscription in expanded for discount in subscription["discounts"]]

    def streams(self) -> dict[str, list[dict[str, Any]]]:
        lists = {name: self.all(name) for name in PLAIN}
        subscriptions = self.all("subscriptions", status="all")
        items = {each["id"]: self.all("subscription_items", subscription=each["id"]) for each in subscriptions}
        lines = {each["id"]: self.all(f"invoices/{each['id']}/lines") for each in lists["invoices"]}
        for each in subscriptions:
            each["items"] |= {"data": items[each["id"]], "has_more": False}
        for each in lists["invoices"]:
            each["lines"] |= {"data": lines[each["id"]], "has_more": False}
        return lists | {
            "subscriptions": subscriptions,
            "subscription_items": [item for each in items.values() for item in each],
            "invoice_line_items": [line for each in lines.values() for line in each],
            "discounts": self.discounts(),
            "meters": self.all("billing/meters"),
            "meter_event_summaries": self.summaries(),
        }

    def summaries(self) -> list[dict[str, Any]]:
        found = []
        until = str(self.now - self.now % DAY + DAY)
        window = {"start_time": "0", "end_time": until, "value_grouping_window": "day", "limit": "100"}
        subscribers = {each["customer"] for each in self.all("subscriptions", status="all") if not each["ended_at"]}
        for meter in self.all("billing/meters"):
            for customer in subscribers:
                path = f"/v1/billing/meters/{meter['id']}/event_summaries"
                for one in self.api.get(path, customer=customer, **window)["data"]:
                    own = {"id": f"{meter['id']}/{customer}/{one['start_time']}", "customer": customer}
                    found.append(one | own)
        return found

    def use(self, customer: str, value: int) -> None:
        payload = {"payload[stripe_customer_id]": customer, "payload[value]": str(value)}
        self.api.form("/v1/billing/meter_events", event_name="calls", timestamp=str(self.now), **payload)


@pytest.fixture
def account(stripe_sandbox: SandboxClient) -> Account:
    """Six customers with a month of life behind them."""
    account = Account(stripe_sandbox)
    for number in range(6):
        account.subscribe(account.customer(f"tenant{number}"), number + 1, coupon=number % 2 == 0)
    account.pass_days(35)
    return account


def live_on(account: Account) -> None:
    """Another month, in which everything that can change does."""
    one, two, three, four = account.all("subscriptions")[-4:]  # the oldest that are not canceled
    account.api.form(f"/v1/customers/{one['customer']}", email=f"moved{account.now}@example.com")
    upgrade = {"items[0][id]": one["items"]["data"][0]["id"], "items[0][quantity]": "40"}
    account.api.form(f"/v1/subscriptions/{one['id']}", **upgrade)
    account.api.form(f"/v1/subscriptions/{two['id']}", method="DELETE")
    account.api.form(f"/v1/subscriptions/{three['id']}", **{"discounts[0][coupon]": account.coupon})
    account.refund_one(four["customer"])
    account.use(three["customer"], 7)
    if three["schedule"] is None:
        account.api.form("/v1/subscription_schedules", from_subscription=three["id"])
    paid = next(each for each in account.all("invoices", customer=four["customer"]) if each["amount_paid"] > 300)
    amount = {"amount": "10", "out_of_band_amount": "10"}
    account.api.form("/v1/credit_notes", invoice=paid["id"], reason="duplicate", **amount)
    card = {"invoice_settings[default_payment_method]": "pm_card_createDispute"}
    account.api.form(f"/v1/customers/{three['customer']}", **card)
    account.subscribe(account.customer(f"newcomer{account.now}"), coupon=True)
    account.pass_days(31)


def assert_equal(warehouse: DuckDBWarehouse, account: Account) -> None:
    for stream, objects in account.streams().items():
        assert_equal_rows(warehouse, "stripe", stream, objects)


def test_full_then_incremental_equals_the_account(account: Account, deployment: Deployments) -> None:
    settings, warehouse = deployment(stripe=account.api.url)
    first = stripe.sync(settings, warehouse)
    assert first.mode == "full"
    assert_equal(warehouse, account)
    assert first.landed["customers"] == len(account.all("customers"))

    live_on(account)
    happened = len(account.all("events"))
    second = stripe.sync(settings, warehouse)
    assert second.mode == "incremental"
    assert_equal(warehouse, account)
    assert second.landed["events"] == happened - first.landed["events"]


def test_a_sync_of_nothing_new_lands_nothing(account: Account, deployment: Deployments) -> None:
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    again = stripe.sync(settings, warehouse)
    assert (again.mode, again.rows, again.deleted.total()) == ("incremental", 0, 0)


def test_an_empty_account_lands_nothing_and_its_first_event_later(
    stripe_sandbox: SandboxClient, deployment: Deployments
) -> None:
    settings, warehouse = deployment(stripe=stripe_sandbox.url)
    assert stripe.sync(settings, warehouse).rows == 0
    account = Account(stripe_sandbox)
    account.subscribe(account.customer("first"))
    stripe.sync(settings, warehouse)
    assert_equal(warehouse, account)


def test_killed_anywhere_and_run_again_loses_and_doubles_nothing(
    account: Account, deployment: Deployments, faulty: Callable[..., FaultyProxy]
) -> None:
    victim: list[int] = []
    fatal = [("", 0)]

    def kill(_: int, path: str) -> None:
        part, left = fatal[0]
        if part in path:
            fatal[0] = (part, left - 1)
            if left == 1:
                os.kill(victim[0], signal.SIGKILL)

    proxy = faulty(account.api.url, kill)
    settings, warehouse = deployment(stripe=proxy.url)
    # in the listing, later in the same listing, at the feed's first page, and after some of the feed has landed
    for part, nth in (
        ("/v1/invoices", 1),
        ("/v1/events?limit=100&starting", 1),
        ("ending_before", 1),
        ("ending_before", 2),
    ):
        fatal[0] = (part, nth)
        process = sync_in_a_process(settings, "stripe")
        victim[:] = [process.pid]
        assert process.wait(timeout=60) == -signal.SIGKILL
        if part == "ending_before" and nth == 1:
            listed = sum(path.startswith("/v1/customers?") for path in proxy.asked)
            assert listed == 1, "a listing goes on where it was"
        live_on(account)
    stripe.sync(settings, warehouse)
    assert_equal(warehouse, account)


def test_another_regions_rows_never_land(account: Account, deployment: Deployments) -> None:
    for name, region in (("berlin", "eu"), ("paris", "EU "), ("nowhere", None)):
        customer = account.customer(name, region)
        account.subscribe(customer, coupon=True)
        account.refund_one(customer)
    gone = account.customer("rome", "eu")
    account.subscribe(gone)
    account.api.form(f"/v1/customers/{gone}", method="DELETE")
    landed: dict[str, set[str]] = {}
    for region in REGIONS:
        settings, warehouse = deployment(stripe=account.api.url, region=region)
        for step in ("full", "incremental"):
            report = stripe.sync(settings, warehouse)
            assert report.mode == step
            customers = {
                c["id"]: (c["metadata"].get("region") or "us").strip().lower() for c in account.all("customers")
            }
            mine = {customer for customer, of in customers.items() if of == region} | (
                {gone} if region == "eu" else set()
            )
            for stream in CUSTOMER_STREAMS:
                owner = "id" if stream == "customers" else "customer"
                rows = live_rows(warehouse, f"raw_stripe.{stream}").values()
                objects = account.all(stream, **({"status": "all"} if stream == "subscriptions" else {}))
                assert {row["id"] for row in rows} == {item["id"] for item in objects if item[owner] in mine}
                assert report.filtered[stream] > 0 or step == "incremental"
            with warehouse.reader() as con:
                text = con.execute("select string_agg(data::varchar, '') from raw_stripe.events").fetchone()
            strangers = {"us": ("berlin@", "paris@", "rome@"), "eu": ("tenant0@", "nowhere@")}[region]
            assert not any(stranger in str(text) for stranger in strangers)
            if region == "eu":
                account.customer(f"another{step}", "us")
                account.customer(f"andanother{step}", "eu")
        landed[region] = set(live_rows(warehouse, "raw_stripe.refunds"))
    assert landed["us"] & landed["eu"] == set()
    assert landed["us"] | landed["eu"] == {refund["id"] for refund in account.all("refunds")}


def test_a_customer_who_moves_takes_everything_along(account: Account, deployment: Deployments) -> None:
    customer = account.customer("mover", "us")
    account.subscribe(customer, coupon=True)
    home = {region: deployment(stripe=account.api.url, region=region) for region in REGIONS}
    for settings, warehouse in home.values():
        stripe.sync(settings, warehouse)
    account.api.form(f"/v1/customers/{customer}", **{"metadata[region]": "eu"})
    for region, (settings, warehouse) in home.items():
        report = stripe.sync(settings, warehouse)
        assert report.mode == "full"
        assert "moved" in str(report.note)
        for stream in CUSTOMER_STREAMS:
            owner = "id" if stream == "customers" else "customer"
            held = [row for row in live_rows(warehouse, f"raw_stripe.{stream}").values() if row[owner] == customer]
            assert bool(held) is (region == "eu")
    with home["us"][1].reader() as con:
        kept = con.execute("select count(*) from raw_stripe.events where data::varchar like '%mover@%'").fetchone()
    assert kept == (0,)


def test_a_deleted_customer_stays_without_a_personal_value(account: Account, deployment: Deployments) -> None:
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    customer = account.all("customers")[0]
    account.api.form(f"/v1/customers/{customer['id']}", method="DELETE")
    report = stripe.sync(settings, warehouse)
    assert report.deleted["customers"] == 1
    assert_equal(warehouse, account)
    with warehouse.reader() as con:
        row = con.execute(
            "select email, name, address, _ab_cdc_deleted_at is not null, metadata->>'tenant_id' "
            "from raw_stripe.customers where id = ?",
            [customer["id"]],
        ).fetchone()
    assert row == (None, None, None, True, customer["metadata"]["tenant_id"])


def test_a_canceled_subscription_is_not_a_deleted_one(account: Account, deployment: Deployments) -> None:
    settings, warehouse = deployment(stripe=account.api.url)
    stripe.sync(settings, warehouse)
    subscription = account.all("subscriptions")[0]["id"]
    account.api.form(f"/v1/subscriptions/{subscription}", method="DELETE")
    stripe.sync(settings, warehouse)
    assert live_rows(warehouse, "raw_stripe.subscriptions")[subscription]["status"] == "canceled"


def test_an_outage_longer_than_the_feed_remembers_is_answered_by_a_full_listing(
    deployment: Deployments, tmp_path: Path
) -> None:
    with serve("stripe", 0, tmp_path / "forgetful.sqlite", event_retention_days=30) as server:
        account = Account(SandboxClient(server.url, STRIPE_KEY))
        customers = [account.customer(f"tenant{number}") for number in range(5)]
        for customer in customers:
            account.subscribe(customer, coupon=True)
        settings, warehouse = deployment(stripe=server.url)
        stripe.sync(settings, warehouse)
        told = set(live_rows(warehouse, "raw_stripe.events"))
        live_on(account)
        account.api.form(f"/v1/customers/{customers[4]}", method="DELETE")
        account.pass_days(40)

        report = stripe.sync(settings, warehouse)
        assert report.mode == "full"
        assert "no longer holds" in str(report.note)
        assert report.deleted["customers"] == 1
        streams = account.streams()
        events = {event["id"] for event in streams.pop("events")}
        for stream, objects in streams.items():
            assert_equal_rows(warehouse, "stripe", stream, objects)
        assert not told & events
        assert set(live_rows(warehouse, "raw_stripe.events")) == told | events, "what the feed forgot stays true"
        assert stripe.sync(settings, warehouse).mode == "incremental"


@pytest.mark.unlike_stripe
def test_a_new_field_is_named_lands_restricted_and_goes_with_its_row(
    account: Account, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, warehouse = deployment(stripe=account.api.url)
    assert not stripe.sync(settings, warehouse).unclassified, "what is known is classified, or left out by name"
    made = stripe_objects.customer
    novel = {"tier": "gold", "since": 3}
    monkeypatch.setattr(stripe_objects, "customer", lambda *a, **named: made(*a, **named) | {"loyalty": novel})
    customer = account.customer("novel")
    report = stripe.sync(settings, warehouse)
    assert set(report.unclassified["customers"]) == {"loyalty"}
    assert json.loads(live_rows(warehouse, "raw_stripe.customers")[customer]["loyalty"]) == novel
    account.api.form(f"/v1/customers/{customer}", method="DELETE")
    stripe.sync(settings, warehouse)
    with warehouse.reader() as con:
        gone = con.execute("select loyalty from raw_stripe.customers where id = ?", [customer]).fetchone()
    assert gone == (None,), "it may be personal, so a deleted row loses it"


def test_a_refused_key_is_told_in_one_line_without_the_key(
    stripe_sandbox: SandboxClient, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, warehouse = deployment(stripe=stripe_sandbox.url)
    wrong = STRIPE_KEY.replace("sk_test", "rk_wrong")
    monkeypatch.setenv("TEST_STRIPE_KEY", wrong)
    with pytest.raises(TailraceError) as failure:
        stripe.sync(settings, warehouse)
    line = str(failure.value)
    assert "TEST_STRIPE_KEY" in line
    assert wrong not in line
    assert "\n" not in line
