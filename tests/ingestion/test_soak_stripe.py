"""Ten weeks of a Stripe account under faults, and forty days in which nobody read it: raw is the account in the end."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from demo.sandbox import serve
from ingestion import stripe
from tests.ingestion.rest.support import STRIPE_KEY, Deployments, assert_equal_rows, live_rows
from tests.ingestion.soak import DAYS, OUTAGE, drawn, orders
from tests.ingestion.worlds import StripeWorld

pytestmark = pytest.mark.soak


def live_a_day(world: StripeWorld, rng: random.Random, day: int) -> None:
    """A few of the things that can happen, then the day passes."""
    account, api = world.account, world.account.api
    for _ in range(rng.randint(1, 5)):
        turn = rng.choice(["customer", "customer", "rename", "seats", "cancel", "refund", "delete", "use", "credit"])
        running = account.all("subscriptions")
        if turn == "customer" or not running:
            account.subscribe(
                account.customer(f"day{day}-{rng.random()}"), rng.randint(1, 9), coupon=rng.random() < 0.4
            )
            continue
        one = rng.choice(running)
        if turn == "rename":
            api.form(f"/v1/customers/{one['customer']}", name=f"name{rng.random()}")
        elif turn == "seats":
            item = {"items[0][id]": one["items"]["data"][0]["id"], "items[0][quantity]": str(rng.randint(1, 40))}
            api.form(f"/v1/subscriptions/{one['id']}", **item)
        elif turn == "cancel":
            api.form(f"/v1/subscriptions/{one['id']}", method="DELETE")
        elif turn == "delete" and rng.random() < 0.4:
            api.form(f"/v1/customers/{one['customer']}", method="DELETE")
        elif turn == "use":
            account.use(one["customer"], rng.randint(1, 100))
        elif turn == "refund":
            paid = [each for each in account.all("charges", customer=one["customer"]) if _left(each) > 100]
            if paid:
                api.form("/v1/refunds", charge=paid[0]["id"], amount="100")
        elif turn == "credit":
            paid = [each for each in account.all("invoices", customer=one["customer"]) if each["amount_paid"] > 500]
            if paid and paid[0]["post_payment_credit_notes_amount"] == 0:
                note = {"amount": "10", "out_of_band_amount": "10"}
                api.form("/v1/credit_notes", invoice=paid[0]["id"], reason="duplicate", **note)
    account.pass_days(1)


def _left(charge: dict[str, int]) -> int:
    return charge["amount_captured"] - charge["amount_refunded"]


def test_raw_is_the_account_after_ten_weeks_of_faults_and_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = drawn()
    monkeypatch.setenv("TEST_STRIPE_KEY", STRIPE_KEY)
    modes: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    with serve("stripe", 0, tmp_path / "state.sqlite", event_retention_days=30) as server:
        world = StripeWorld(server.url)
        settings, warehouse = Deployments(tmp_path / "deployment")(stripe=server.url)
        for day in range(DAYS):
            live_a_day(world, rng, day)
            if day in OUTAGE:
                continue
            world.order(orders(rng, "out_of_order"))
            modes[stripe.sync(settings, warehouse).mode] += 1
            struck.update(world.struck())
        world.order([])
        stripe.sync(settings, warehouse)
        for stream, objects in world.account.streams().items():
            if stream == "events":  # what the feed forgot stays true
                assert {each["id"] for each in objects} <= set(live_rows(warehouse, "raw_stripe.events"))
            elif stream == "meter_event_summaries":  # read once a day; use of customers who left since then stays
                rows = live_rows(warehouse, f"raw_stripe.{stream}")
                assert {each["id"] for each in objects} <= set(rows)
            else:
                assert_equal_rows(warehouse, "stripe", stream, objects)
    assert modes["full"] == 2, "the first reading, and the one after the outage, longer than the feed remembers"
    assert modes["comparison"] >= 2, "one a week, by Stripe's own clock"
    assert sum(struck.values()) > DAYS // 2
