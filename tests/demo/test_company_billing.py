"""The book against Stripe: what the company predicts by its own rules is what Stripe, read independently, shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from demo.company.billing import UNATTRIBUTED, Billing
from demo.company.book import COUPONS
from demo.company.ledger import Ledger
from demo.company.roster import roster
from demo.company.stories import STORIES
from demo.company.web import Api
from demo.sandbox import serve

START = date(2026, 1, 1)
DAYS = 75  # past the last turn of every story that begins on the first day
SEED = 11
TENANTS = 20


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[Api]:
    running = serve("stripe", 0, tmp_path / "stripe.sqlite")
    api = Api(name="Stripe", url=running.url, token="sk_test_company")
    yield api
    api.close()
    running.stop()


def _billing(stripe: Api, ledger: Ledger) -> Billing:
    return Billing(api=stripe, ledger=ledger, tenants=roster(seed=SEED, tenants=TENANTS), seed=SEED, start=START)


def _listed(api: Api, path: str, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        after = {"starting_after": rows[-1]["id"]} if rows else {}
        page = api.get(path, limit=100, **query, **after)
        rows += page["data"]
    return rows


def _true_mrr(subscription: dict[str, Any], coupons: dict[str, dict[str, Any]]) -> Decimal:
    """MRR of a subscription as Stripe shows it: active or past due, not paused, net of forever coupons."""
    if subscription["status"] not in ("active", "past_due") or subscription["pause_collection"]:
        return Decimal(0)
    total = Fraction(0)
    months = 1
    for item in subscription["items"]["data"]:
        recurring = item["price"]["recurring"]
        months = {"month": 1, "year": 12}[recurring["interval"]] * recurring["interval_count"]
        total += Fraction(item["price"]["unit_amount"] * item["quantity"], months)
    for discount in subscription["discounts"]:
        coupon = coupons[discount["source"]["coupon"]]
        if coupon["duration"] == "forever":
            if coupon["percent_off"]:
                total *= 1 - Fraction(str(coupon["percent_off"])) / 100
            else:
                total -= Fraction(coupon["amount_off"], months)
    exact = Decimal(max(total, Fraction(0)).numerator) / Decimal(max(total, Fraction(0)).denominator)
    return exact.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)


def test_the_ledger_s_mrr_is_stripe_s_at_the_end_of_every_day(stripe: Api, tmp_path: Path) -> None:
    with Ledger(tmp_path / "company.sqlite") as ledger:
        billing = _billing(stripe, ledger)
        seen = set()
        for day in range(DAYS):
            documents, entries = billing.live(day)
            ledger.close_day(meta={}, documents=documents, mrr=entries)
            coupons = {coupon["id"]: coupon for coupon in _listed(stripe, "/v1/coupons")}
            subscriptions = _listed(stripe, "/v1/subscriptions", **{"status": "all", "expand[]": "data.discounts"})
            truth: dict[tuple[str, str], Decimal] = {}
            for each in subscriptions:
                key = each["customer"], each["currency"]
                truth[key] = truth.get(key, Decimal(0)) + _true_mrr(each, coupons)
                seen.add(each["status"])
            booked = {key: Decimal(mrr) for key, mrr in ledger.latest_mrr().items()}
            assert {key: mrr for key, mrr in booked.items() if mrr} == {key: m for key, m in truth.items() if m}, day
        assert {"trialing", "active", "past_due", "canceled"} <= seen


def test_every_turn_of_commercial_life_reaches_stripe(stripe: Api, tmp_path: Path) -> None:
    with Ledger(tmp_path / "company.sqlite") as ledger:
        billing = _billing(stripe, ledger)
        regions: set[tuple[str, str | None]] = set()
        for day in range(DAYS):
            _, entries = billing.live(day)
            regions |= {(tenant, region) for _, tenant, region, *_ in entries}
    types = {event["type"] for event in _listed(stripe, "/v1/events")}
    assert {
        "customer.created",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.discount.created",
        "customer.discount.deleted",
        "invoice.paid",
        "invoice.payment_failed",
        "charge.failed",
        "charge.refunded",
        "refund.created",
        "credit_note.created",
        "charge.dispute.created",
        "charge.dispute.closed",
        "subscription_schedule.created",
        "payout.paid",
        "promotion_code.created",
        "tax_rate.created",
        "billing.meter.created",
    } <= types
    customers = _listed(stripe, "/v1/customers")
    assert {customer["currency"] for customer in customers} >= {"usd", "eur", "gbp"}
    assert any("tenant_id" not in customer["metadata"] for customer in customers)
    assert (UNATTRIBUTED, None) in regions
    assert {"us", "eu"} <= {region for _, region in regions}
    assert {COUPONS[coupon["id"]].duration for coupon in _listed(stripe, "/v1/coupons")} == {
        "once",
        "repeating",
        "forever",
    }
    told = {verb for story in STORIES for verb, _ in story.values()}
    assert all(callable(getattr(Billing, verb)) for verb in told)


def test_a_day_lived_twice_changes_nothing(stripe: Api, tmp_path: Path) -> None:
    """As after a kill between Stripe's last answer and the ledger's commit."""
    with Ledger(tmp_path / "company.sqlite") as ledger:
        for day in range(32):
            documents, entries = _billing(stripe, ledger).live(day)
            events = [event["id"] for event in _listed(stripe, "/v1/events")] if day % 10 == 0 else []
            again = _billing(stripe, ledger).live(day)
            assert again == (documents, entries)
            if day % 10 == 0:
                assert [event["id"] for event in _listed(stripe, "/v1/events")] == events
            ledger.close_day(meta={}, documents=documents, mrr=entries)
