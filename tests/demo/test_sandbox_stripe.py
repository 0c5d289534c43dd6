"""The sandbox Stripe over HTTP: true shapes, totally ordered events, and a billing life on a simulated clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.sandbox import billing, serve

Json = dict[str, Any]
DAY = billing.DAY
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
CLOCK = "test_helpers/test_clocks/clock_sandbox"
STREAMS = (
    "customers",
    "products",
    "prices",
    "coupons",
    "promotion_codes",
    "tax_rates",
    "subscriptions",
    "subscription_schedules",
    "invoices",
    "credit_notes",
    "charges",
    "payment_intents",
    "refunds",
    "disputes",
    "payouts",
    "billing/meters",
)
UNTOLD = ("balance_transactions",)  # no event tells of them
EXAMPLES: Json = json.loads((Path(__file__).parents[1] / "fixtures" / "stripe_objects.json").read_text())["resources"]
# Fields of the examples that an answer may leave out: off by default, in preview, or of older API versions.
OPTIONAL = {
    "payment_intent": {"managed_payments"},
    "credit_note_line_item": {"invoice_line_item"},
    "charge": {"refunds", "source"},
    "customer": {"next_invoice_sequence"},
    "invoice": {"subscription"},
    "refund": {"customer", "customer_account", "payment_method"},
    "subscription": {"billing_schedules", "managed_payments"},
}


class Stripe:
    """A client that fails on any answer that is not asked for."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/v1/", headers={"authorization": "Bearer sk_test_1"}, timeout=30)

    def _done(self, answer: httpx.Response) -> Json:
        assert answer.status_code == 200, answer.json()["error"]["type"]
        document: Json = answer.json()
        return document

    def get(self, path: str, **query: Any) -> Json:
        return self._done(self.http.get(path, params=query))

    def post(self, path: str, key: str | None = None, **fields: Any) -> Json:
        headers = {} if key is None else {"idempotency-key": key}
        return self._done(self.http.post(path, data=form(fields), headers=headers))

    def delete(self, path: str) -> Json:
        return self._done(self.http.delete(path))

    def refused(self, method: str, path: str, **fields: Any) -> Json:
        answer = self.http.request(method, path, data=form(fields)) if fields else self.http.request(method, path)
        assert answer.status_code >= 400
        error: Json = answer.json()["error"]
        return error | {"status": answer.status_code}

    def advance(self, moment: int) -> None:
        assert self.post(f"{CLOCK}/advance", frozen_time=moment)["frozen_time"] == moment

    def all(self, stream: str, **query: Any) -> list[Json]:
        """Everything of a stream, newest first, in pages of three."""
        found: list[Json] = []
        page: Json = {"has_more": True}
        while page["has_more"]:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = self.get(stream, limit=3, **query, **after)
            found += page["data"]
        return found

    def events(self, kind: str | None = None) -> list[Json]:
        """Events, oldest first."""
        return self.all("events", **({"type": kind} if kind else {}))[::-1]

    def customer(self, **fields: Any) -> Json:
        defaults = {"email": "a@b.example", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
        return self.post("customers", **(defaults | fields))

    def price(self, unit_amount: int = 1000, interval: str = "month", currency: str = "usd") -> Json:
        product = self.post("products", name="Plan")
        return self.post(
            "prices",
            product=product["id"],
            currency=currency,
            unit_amount=unit_amount,
            recurring={"interval": interval},
        )

    def subscribe(self, customer: Json, price: Json, quantity: int = 1, **fields: Any) -> Json:
        items = [{"price": price["id"], "quantity": quantity}]
        return self.post("subscriptions", customer=customer["id"], items=items, **fields)


def form(value: Any, name: str = "") -> dict[str, str]:
    """Stripe's bracketed form of nested dicts and lists."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {name: str(value).lower() if isinstance(value, bool) else str(value)}
    flat: dict[str, str] = {}
    for key, member in value.items():
        flat |= form(member, f"{name}[{key}]" if name else str(key))
    return flat


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "stripe.sqlite"


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    """An empty account whose clock stands at START."""
    with serve("stripe") as running:
        client = Stripe(running.url)
        client.advance(START)
        yield client
        client.http.close()


def lived(stripe: Stripe) -> None:
    """Half a year in which everything happens that the sandbox knows."""
    monthly, large, annual = stripe.price(1000), stripe.price(2500), stripe.price(9000, interval="year")
    once = stripe.post("coupons", duration="once", percent_off=50, id="WELCOME")
    repeating = stripe.post("coupons", duration="repeating", duration_in_months=2, amount_off=300, currency="usd")
    forever = stripe.post("coupons", duration="forever", percent_off=12.5, max_redemptions=1)
    stripe.post(f"coupons/{once['id']}", name="Welcome")
    people = [stripe.customer(name=f"Person {n}", phone="1", address={"country": "DE"}) for n in range(5)]
    changing = stripe.subscribe(people[0], monthly, 3, discounts=[{"coupon": once["id"]}])
    trial = stripe.subscribe(people[1], large, trial_end=START + 10 * DAY, discounts=[{"coupon": repeating["id"]}])
    stripe.subscribe(people[2], monthly, 2, cancel_at_period_end=True)
    failing = stripe.subscribe(people[3], large, discounts=[{"coupon": forever["id"]}])
    stripe.post(
        f"customers/{people[3]['id']}", invoice_settings={"default_payment_method": "pm_card_chargeCustomerFail"}
    )
    item = changing["items"]["data"][0]["id"]
    stripe.advance(START + 12 * DAY)
    stripe.post(f"subscriptions/{changing['id']}", items=[{"id": item, "quantity": 5}])
    stripe.advance(START + 20 * DAY)
    stripe.post(f"subscriptions/{changing['id']}", items=[{"id": item, "price": annual["id"]}], metadata={"a": "b"})
    stripe.post(f"subscriptions/{trial['id']}", pause_collection={"behavior": "void", "resumes_at": START + 50 * DAY})
    unlucky = stripe.customer(invoice_settings={"default_payment_method": "pm_card_chargeCustomerFail"})
    assert stripe.subscribe(unlucky, monthly)["status"] == "incomplete"
    stripe.advance(START + 100 * DAY)
    assert stripe.get(f"subscriptions/{failing['id']}")["status"] == "canceled"
    charge = next(one for one in stripe.all("charges") if one["paid"])
    stripe.post("refunds", charge=charge["id"], amount=100, reason="requested_by_customer", metadata={"k": "v"})
    stripe.subscribe(people[4], monthly)
    stripe.delete(f"customers/{people[4]['id']}")
    spare = stripe.post("products", name="Spare")
    stripe.delete(f"products/{spare['id']}")
    stripe.post(f"prices/{large['id']}", active=False, nickname="Old")
    stripe.delete(f"coupons/{repeating['id']}")
    code = stripe.post("promotion_codes", promotion={"coupon": once["id"]}, code="SPRING", metadata={"k": "v"})
    stripe.post(f"promotion_codes/{code['id']}", active=False)
    stripe.post("tax_rates", display_name="VAT", percentage=19, inclusive=False, country="DE")
    schedule = stripe.post("subscription_schedules", from_subscription=trial["id"])
    assert stripe.get(f"subscriptions/{trial['id']}")["schedule"] == schedule["id"]
    paid = next(one for one in stripe.all("invoices", status="paid") if one["amount_paid"] > 100)
    note = stripe.post("credit_notes", invoice=paid["id"], amount=100, out_of_band_amount=100, reason="duplicate")
    stripe.post(f"credit_notes/{note['id']}/void")
    disputed = stripe.customer(invoice_settings={"default_payment_method": "pm_card_createDispute"})
    stripe.subscribe(disputed, monthly)
    stripe.post(f"disputes/{stripe.all('disputes')[0]['id']}", evidence={"uncategorized_text": "they were here"})
    meter = stripe.post(
        "billing/meters", display_name="Calls", event_name="calls", default_aggregation={"formula": "sum"}
    )
    use = {"stripe_customer_id": people[0]["id"], "value": "3"}
    stripe.post("billing/meter_events", event_name="calls", payload=use, identifier="one", timestamp=START)
    stripe.post(f"billing/meters/{meter['id']}/deactivate")
    stripe.advance(START + 180 * DAY)


# shapes


def missing(item: Json) -> list[str]:
    """Fields that the published example of an object shows, and the object does not."""
    kind = "deleted_customer" if item.get("deleted") else item["object"]
    lost = EXAMPLES[kind].keys() - item.keys() - OPTIONAL.get(kind, set())
    inner = missing(item["data"]["object"]) if kind == "event" else []
    return [f"{kind}.{name}" for name in lost] + inner


def test_every_object_has_all_the_fields_that_its_published_example_shows(stripe: Stripe) -> None:
    """That no field is beyond Stripe's, and each of its type, is held by the document against every answer."""
    lived(stripe)
    seen: set[str] = set()
    lost: set[str] = set()

    def look(item: Json) -> None:
        seen.add(item["object"])
        lost.update(missing(item))

    for stream in (*STREAMS, *UNTOLD, "events"):
        for item in stripe.all(stream, **({"status": "all"} if stream == "subscriptions" else {})):
            look(item)
            look(stripe.get(f"{stream}/{item['id']}"))
    for subscription in stripe.all("subscriptions", status="all"):
        for item in stripe.get("subscription_items", subscription=subscription["id"])["data"]:
            look(item)
    for invoice in stripe.all("invoices"):
        for line in stripe.get(f"invoices/{invoice['id']}/lines", limit=100)["data"]:
            look(line)
    for note in stripe.all("credit_notes"):
        for line in stripe.get(f"credit_notes/{note['id']}/lines")["data"]:
            look(line)
    (meter,) = stripe.all("billing/meters")
    summaries = stripe.get(
        f"billing/meters/{meter['id']}/event_summaries",
        customer=stripe.all("customers")[-1]["id"],
        start_time=START,
        end_time=START + DAY,
        value_grouping_window="day",
    )["data"]
    assert [one["aggregated_value"] for one in summaries] == [3.0]
    look(summaries[0])
    use = {"stripe_customer_id": stripe.all("customers")[-1]["id"], "value": "1"}
    look(stripe.post("billing/meter_events", event_name="calls", payload=use))
    for event in stripe.events("customer.discount.created"):
        look(event["data"]["object"])
    gone = stripe.events("customer.deleted")[0]["data"]["object"]
    look(stripe.get(f"customers/{gone['id']}"))
    look(stripe.get(CLOCK))
    assert not lost
    assert seen | {"deleted_customer"} == EXAMPLES.keys()


# events


def test_the_events_alone_rebuild_what_the_lists_show(stripe: Stripe) -> None:
    lived(stripe)
    rebuilt: dict[str, Json] = {}
    for event in stripe.events():
        item = event["data"]["object"]
        if event["type"].endswith(".deleted") and item["object"] != "subscription":
            del rebuilt[item["id"]]
        else:
            rebuilt[item["id"]] = item
    listed = {
        item["id"]: item
        for stream in STREAMS
        for item in stripe.all(stream, **({"status": "all"} if stream == "subscriptions" else {}))
    }
    discounts = {identifier for identifier, item in rebuilt.items() if item["object"] == "discount"}
    assert {identifier: item for identifier, item in rebuilt.items() if identifier not in discounts} == listed
    granted = {one for item in listed.values() if item["object"] == "subscription" for one in item["discounts"]}
    assert granted <= discounts


def test_every_movement_of_money_is_in_the_balance_and_leaves_by_payouts(stripe: Stripe) -> None:
    lived(stripe)
    entries = stripe.all("balance_transactions")
    expected = {charge["id"]: charge["amount"] for charge in stripe.all("charges") if charge["paid"]}
    expected |= {refund["id"]: -refund["amount"] for refund in stripe.all("refunds")}
    expected |= {payout["id"]: -payout["amount"] for payout in stripe.all("payouts")}
    outcomes = {dispute["id"]: dispute["status"] for dispute in stripe.all("disputes")}
    assert set(outcomes.values()) == {"won", "lost"}
    for dispute in stripe.all("disputes"):
        back = [dispute["amount"]] if dispute["status"] == "won" else []
        assert [one["amount"] for one in dispute["balance_transactions"]] == [-dispute["amount"], *back]
        expected[dispute["id"]] = sum(back) - dispute["amount"]
    moved: dict[str, int] = {}
    for entry in entries:
        assert entry["net"] == entry["amount"] - entry["fee"]
        moved[entry["source"]] = moved.get(entry["source"], 0) + entry["amount"]
    assert moved == expected
    last = stripe.all("payouts")[0]["created"]
    since = [entry["net"] for entry in entries if entry["type"] != "payout" and entry["available_on"] > last]
    assert sum(entry["net"] for entry in entries) == sum(since), "the rest went to the bank"


def test_an_older_version_is_answered_in_its_terms(stripe: Stripe) -> None:
    """What Stripe's changelog says to have moved stands where it stood; nothing else is different."""
    coupon = stripe.post("coupons", duration="forever", percent_off=10)
    price = stripe.price(1000)
    running = stripe.subscribe(stripe.customer(), price, 2, discounts=[{"coupon": coupon["id"]}], metadata={"k": "v"})
    code = stripe.post("promotion_codes", promotion={"coupon": coupon["id"]}, code="SPRING")
    (invoice,) = stripe.all("invoices")
    charge = stripe.all("charges")[0]
    note = stripe.post("credit_notes", invoice=invoice["id"], amount=100, out_of_band_amount=100, reason="duplicate")
    (invoice,) = stripe.all("invoices")
    now = {path: stripe.get(path) for path in ("events", "customers", "prices", f"charges/{charge['id']}")}

    stripe.http.headers["stripe-version"] = "2022-11-15"
    coupon = stripe.get(f"coupons/{coupon['id']}")
    assert stripe.get(f"promotion_codes/{code['id']}")["coupon"] == coupon
    assert "promotion" not in stripe.all("promotion_codes")[0]
    tax = "data.total_tax_amounts.tax_rate"
    (then,) = stripe.get("invoices", **{"expand[]": ["data.discounts", tax]})["data"]
    assert (then["subscription"], then["subscription_details"]) == (running["id"], {"metadata": {"k": "v"}})
    assert (then["paid"], then["total_tax_amounts"]) == (True, [])
    assert then["discounts"][0]["coupon"] == coupon
    assert not {"parent", "total_taxes"} & then.keys()
    (line,) = then["lines"]["data"]
    assert line["price"] == price
    assert (line["type"], line["subscription_item"]) == ("subscription", running["items"]["data"][0]["id"])
    assert stripe.get(f"invoices/{invoice['id']}/lines")["data"] == [line]
    same = then.keys() & invoice.keys() - {"discounts", "lines"}
    assert {name: then[name] for name in same} == {name: invoice[name] for name in same}
    assert len(same) > 50
    period = {name: running["items"]["data"][0][name] for name in ("current_period_start", "current_period_end")}
    assert stripe.get(f"subscriptions/{running['id']}").items() >= period.items()
    older = stripe.get(f"credit_notes/{note['id']}")
    assert older.keys() ^ note.keys() == {"refund", "refunds", "tax_amounts", "total_taxes"}
    for path, shown in now.items():
        assert stripe.get(path) == shown

    stripe.http.headers["stripe-version"] = "2025-03-31.basil"  # between the two changes
    assert stripe.get(f"invoices/{invoice['id']}") == invoice
    assert stripe.get(f"promotion_codes/{code['id']}")["coupon"] == coupon


def test_an_embedded_list_ends_after_ten_members_and_goes_on_at_its_own_address(stripe: Stripe) -> None:
    prices = [stripe.price(100 * n) for n in range(1, 13)]
    customer = stripe.customer()
    items = [{"price": price["id"], "quantity": 1} for price in prices]
    subscription = stripe.post("subscriptions", customer=customer["id"], items=items)
    assert len(subscription["items"]["data"]) == 10
    assert subscription["items"]["has_more"]
    rest = stripe.get(
        "subscription_items",
        subscription=subscription["id"],
        starting_after=subscription["items"]["data"][-1]["id"],
    )
    assert (len(rest["data"]), rest["has_more"]) == (2, False)
    (invoice,) = stripe.all("invoices")
    assert len(invoice["lines"]["data"]) == 10
    told = stripe.events("invoice.paid")[0]["data"]["object"]
    assert told["lines"] == invoice["lines"]


def test_previous_attributes_undo_an_update(stripe: Stripe) -> None:
    lived(stripe)
    last: dict[str, Json] = {}
    updates = 0
    for event in stripe.events():
        item = event["data"]["object"]
        if event["type"].endswith(".updated"):
            updates += 1
            previous = event["data"]["previous_attributes"]
            if "metadata" in previous:
                merged = item["metadata"] | previous["metadata"]
                previous["metadata"] = {key: value for key, value in merged.items() if value is not None}
            assert previous
            assert item | previous == last[item["id"]]
        last[item["id"]] = item
    assert updates


def test_events_are_totally_ordered_and_stamped_with_simulated_time(stripe: Stripe) -> None:
    lived(stripe)
    events = stripe.events()
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids))
    assert [event["created"] for event in events] == sorted(event["created"] for event in events)
    assert all(START <= event["created"] <= START + 180 * DAY for event in events)
    assert any(event["created"] not in (START + n * DAY for n in (0, 12, 20, 100, 180)) for event in events)


def test_reading_forward_from_a_noted_event_misses_and_repeats_nothing(stripe: Stripe) -> None:
    lived(stripe)
    whole = [event["id"] for event in stripe.events()]
    noted = whole[len(whole) // 3]
    read, more = [noted], True
    while more:
        page = stripe.get("events", limit=7, ending_before=read[-1])
        read += [event["id"] for event in reversed(page["data"])]
        more = page["has_more"]
    assert read == whole[whole.index(noted) :]


def test_lists_page_filter_and_refuse_unknown_cursors(stripe: Stripe) -> None:
    lived(stripe)
    events = stripe.events()
    middle = events[len(events) // 2]["created"]
    for name, holds in (("gt", int.__gt__), ("gte", int.__ge__), ("lt", int.__lt__), ("lte", int.__le__)):
        found = stripe.all("events", **{f"created[{name}]": middle})
        assert [one["id"] for one in found[::-1]] == [one["id"] for one in events if holds(one["created"], middle)]
    for stream, field in (("subscriptions", "customer"), ("invoices", "customer"), ("charges", "customer")):
        every = stripe.all(stream, **({"status": "all"} if stream == "subscriptions" else {}))
        mine = [one["id"] for one in every if one[field] == every[-1][field]]
        query = {"customer": every[-1]["customer"]} | ({"status": "all"} if stream == "subscriptions" else {})
        assert [one["id"] for one in stripe.all(stream, **query)] == mine
    subscriptions = stripe.all("subscriptions", status="all")
    ended = {one["id"] for one in subscriptions if one["status"] in ("canceled", "incomplete_expired")}
    assert {one["id"] for one in stripe.all("subscriptions")} == {one["id"] for one in subscriptions} - ended
    assert {one["id"] for one in stripe.all("subscriptions", status="ended")} == ended
    kinds = stripe.all("events", type="customer.subscription.*")
    assert kinds == [one for one in events[::-1] if one["type"].startswith("customer.subscription.")]
    assert stripe.refused("GET", "events?ending_before=evt_none")["code"] == "resource_missing"
    assert stripe.refused("GET", "events?limit=101")["param"] == "limit"


def test_old_events_are_gone_where_retention_is_set(state: Path) -> None:
    with serve("stripe", state=state, event_retention_days=30) as running:
        stripe = Stripe(running.url)
        stripe.advance(START)
        stripe.customer()
        first = stripe.events()[0]
        stripe.advance(START + 30 * DAY)
        assert stripe.events() == [first]
        stripe.advance(START + 30 * DAY + 1)
        stripe.customer()
        assert [event["created"] for event in stripe.events()] == [START + 30 * DAY + 1]
        assert stripe.refused("GET", f"events/{first['id']}")["status"] == 404
        assert stripe.refused("GET", f"events?ending_before={first['id']}")["code"] == "resource_missing"


# what time does


def created(stripe: Stripe, kind: str) -> list[int]:
    return [event["created"] for event in stripe.events(kind)]


def test_renewals_happen_at_their_own_time_however_far_the_clock_is_moved(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price(1000), 4)
    stripe.advance(START + 100 * DAY)
    months = [billing.add_months(START, n) for n in range(4)]
    assert created(stripe, "invoice.paid") == months
    assert created(stripe, "charge.succeeded") == months
    invoices = stripe.all("invoices", subscription=subscription["id"])
    assert {invoice["total"] for invoice in invoices} == {4000}
    item = stripe.get(f"subscriptions/{subscription['id']}")["items"]["data"][0]
    assert (item["current_period_start"], item["current_period_end"]) == (months[-1], billing.add_months(START, 4))


def test_one_long_advance_equals_many_short_ones() -> None:
    worlds = []
    for step in (60, 1):
        with serve("stripe") as running:
            stripe = Stripe(running.url)
            stripe.advance(START)
            broken = {"default_payment_method": "pm_card_chargeCustomerFail"}
            subscription = stripe.subscribe(stripe.customer(), stripe.price(), trial_end=START + 5 * DAY)
            stripe.post(f"customers/{subscription['customer']}", invoice_settings=broken)
            stripe.subscribe(stripe.customer(), stripe.price(interval="week"), 2)
            for day in range(step, 61, step):
                stripe.advance(START + day * DAY)
            worlds.append(stripe.events())
    assert worlds[0] == worlds[1]


def test_a_trial_is_announced_and_ends_at_its_time(stripe: Stripe) -> None:
    end = START + 14 * DAY + 3600
    subscription = stripe.subscribe(stripe.customer(), stripe.price(), trial_end=end)
    assert subscription["status"] == "trialing"
    stripe.advance(START + 30 * DAY)
    assert created(stripe, "customer.subscription.trial_will_end") == [end - 3 * DAY]
    [updated] = stripe.events("customer.subscription.updated")
    assert updated["created"] == end
    assert updated["data"]["object"]["status"] == "active"
    assert updated["data"]["previous_attributes"]["status"] == "trialing"
    assert [charge["created"] for charge in stripe.all("charges")] == [end]


def test_a_trial_can_be_ended_now(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price(), trial_period_days=14)
    stripe.advance(START + DAY)
    ended = stripe.post(f"subscriptions/{subscription['id']}", trial_end="now")
    assert (ended["status"], ended["trial_end"]) == ("active", START + DAY)
    assert ended["items"]["data"][0]["current_period_end"] == billing.add_months(START + DAY, 1)


def test_cancellation_at_period_end_takes_effect_then(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price())
    stripe.advance(START + 3 * DAY)
    noted = stripe.post(f"subscriptions/{subscription['id']}", cancel_at_period_end=True)
    end = billing.add_months(START, 1)
    assert (noted["status"], noted["cancel_at"], noted["canceled_at"]) == ("active", end, START + 3 * DAY)
    stripe.advance(START + 60 * DAY)
    [deleted] = stripe.events("customer.subscription.deleted")
    assert (deleted["created"], deleted["data"]["object"]["status"]) == (end, "canceled")
    assert deleted["data"]["object"]["ended_at"] == end
    assert len(stripe.all("invoices")) == 1


def test_a_cancellation_can_be_taken_back(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price(), cancel_at_period_end=True)
    kept = stripe.post(f"subscriptions/{subscription['id']}", cancel_at_period_end=False)
    assert (kept["cancel_at"], kept["canceled_at"]) == (None, None)
    stripe.advance(START + 40 * DAY)
    assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "active"


def test_a_deleted_subscription_is_canceled_at_once(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price())
    stripe.advance(START + DAY)
    assert stripe.delete(f"subscriptions/{subscription['id']}")["ended_at"] == START + DAY
    assert created(stripe, "customer.subscription.deleted") == [START + DAY]
    assert stripe.refused("DELETE", f"subscriptions/{subscription['id']}")["status"] == 404


def fail_card(stripe: Stripe, customer: Json) -> None:
    broken = {"default_payment_method": "pm_card_chargeCustomerFail"}
    stripe.post(f"customers/{customer['id']}", invoice_settings=broken)


@pytest.mark.parametrize(("after_retries", "status"), [("cancel", "canceled"), ("unpaid", "unpaid")])
def test_four_failed_tries_over_two_weeks_end_a_subscription(state: Path, after_retries: Any, status: str) -> None:
    with serve("stripe", state=state, after_retries=after_retries) as running:
        stripe = Stripe(running.url)
        stripe.advance(START)
        customer = stripe.customer()
        subscription = stripe.subscribe(customer, stripe.price())
        fail_card(stripe, customer)
        due = billing.add_months(START, 1)
        stripe.advance(due + DAY)
        assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "past_due"
        assert stripe.get(f"customers/{customer['id']}")["delinquent"] is True
        stripe.advance(due + 20 * DAY)
        tries = created(stripe, "charge.failed")
        assert (tries[0], tries[-1], len(tries)) == (due, due + 14 * DAY, 4)
        assert created(stripe, "invoice.payment_failed") == tries
        assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == status
        assert created(stripe, "customer.subscription.deleted") == ([tries[-1]] if status == "canceled" else [])
        stripe.advance(due + 100 * DAY)
        assert created(stripe, "charge.failed") == tries


def test_a_mended_card_ends_dunning_at_the_next_try(stripe: Stripe) -> None:
    customer = stripe.customer()
    subscription = stripe.subscribe(customer, stripe.price())
    fail_card(stripe, customer)
    due = billing.add_months(START, 1)
    stripe.advance(due + DAY)
    stripe.post(f"customers/{customer['id']}", invoice_settings={"default_payment_method": "pm_card_visa"})
    stripe.advance(due + 13 * DAY)
    assert created(stripe, "invoice.paid") == [START, due + 3 * DAY]
    assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    assert stripe.get(f"customers/{customer['id']}")["delinquent"] is False


def test_a_declined_payment_by_hand_leaves_its_trace(stripe: Stripe) -> None:
    customer = stripe.customer()
    subscription = stripe.subscribe(customer, stripe.price())
    fail_card(stripe, customer)
    stripe.advance(billing.add_months(START, 1))
    invoice = stripe.get(f"subscriptions/{subscription['id']}")["latest_invoice"]
    assert stripe.refused("POST", f"invoices/{invoice}/pay")["status"] == 402
    assert stripe.get(f"invoices/{invoice}")["attempt_count"] == 2
    stripe.post(f"customers/{customer['id']}", invoice_settings={"default_payment_method": "pm_card_visa"})
    assert stripe.post(f"invoices/{invoice}/pay")["status"] == "paid"
    assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "active"


def test_a_subscription_whose_first_payment_fails_expires_within_a_day(stripe: Stripe) -> None:
    customer = stripe.customer(invoice_settings={"default_payment_method": "pm_card_chargeCustomerFail"})
    subscription = stripe.subscribe(customer, stripe.price())
    stripe.advance(START + 40 * DAY)
    expired = stripe.get(f"subscriptions/{subscription['id']}")
    assert (expired["status"], expired["ended_at"]) == ("incomplete_expired", START + 23 * 3600)
    assert stripe.get(f"invoices/{expired['latest_invoice']}")["status"] == "void"


def test_a_paused_subscription_is_not_charged_until_it_resumes(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price())
    resumes = billing.add_months(START, 2) - DAY
    paused = stripe.post(
        f"subscriptions/{subscription['id']}", pause_collection={"behavior": "void", "resumes_at": resumes}
    )
    assert paused["status"] == "active"
    stripe.advance(START + 80 * DAY)
    assert created(stripe, "invoice.voided") == [billing.add_months(START, 1)]
    assert created(stripe, "charge.succeeded") == [START, billing.add_months(START, 2)]
    assert stripe.get(f"subscriptions/{subscription['id']}")["pause_collection"] is None


# changes


def test_a_quantity_change_is_one_event_now_and_prorated_on_the_next_invoice(stripe: Stripe) -> None:
    subscription = stripe.subscribe(stripe.customer(), stripe.price(1000), 2)
    item = subscription["items"]["data"][0]
    start, end = item["current_period_start"], item["current_period_end"]
    at = start + (end - start) // 3
    stripe.advance(at)
    stripe.post(f"subscriptions/{subscription['id']}", items=[{"id": item["id"], "quantity": 5}])
    [updated] = stripe.events("customer.subscription.updated")
    assert updated["created"] == at
    assert updated["data"]["object"]["items"]["data"][0]["quantity"] == 5
    assert updated["data"]["previous_attributes"]["items"]["data"][0]["quantity"] == 2
    assert len(stripe.all("invoices")) == 1
    stripe.advance(end)
    lines = stripe.all("invoices")[0]["lines"]["data"]
    prorated = [one["amount"] for one in lines if one["parent"]["subscription_item_details"]["proration"]]
    rest = [billing.prorate(1000 * quantity, start=start, end=end, at=at) for quantity in (2, 5)]
    assert prorated == [-rest[0], rest[1]]
    assert stripe.all("invoices")[0]["total"] == 5000 - rest[0] + rest[1]


def test_another_interval_starts_a_new_period_and_is_invoiced_at_once(stripe: Stripe) -> None:
    monthly, annual = stripe.price(1000), stripe.price(10_000, interval="year")
    subscription = stripe.subscribe(stripe.customer(), monthly)
    item = subscription["items"]["data"][0]
    at = START + 10 * DAY
    stripe.advance(at)
    changed = stripe.post(f"subscriptions/{subscription['id']}", items=[{"id": item["id"], "price": annual["id"]}])
    assert changed["billing_cycle_anchor"] == at
    assert changed["items"]["data"][0]["current_period_end"] == billing.add_months(at, 12)
    credit = billing.prorate(1000, start=START, end=item["current_period_end"], at=at)
    assert stripe.get(f"invoices/{changed['latest_invoice']}")["total"] == 10_000 - credit


def test_credit_is_kept_for_the_next_invoice(stripe: Stripe) -> None:
    customer = stripe.customer()
    subscription = stripe.subscribe(customer, stripe.price(1000), 10)
    item = subscription["items"]["data"][0]
    stripe.advance(START + 10 * DAY)
    less = {"items": [{"id": item["id"], "quantity": 1}], "proration_behavior": "always_invoice"}
    changed = stripe.post(f"subscriptions/{subscription['id']}", **less)
    owed = stripe.get(f"invoices/{changed['latest_invoice']}")["total"]
    assert owed < 0
    assert stripe.get(f"customers/{customer['id']}")["balance"] == owed
    stripe.advance(item["current_period_end"])
    renewal = stripe.all("invoices")[0]
    assert (renewal["starting_balance"], renewal["amount_due"]) == (owed, max(0, 1000 + owed))
    assert stripe.get(f"customers/{customer['id']}")["balance"] == min(0, 1000 + owed)


@pytest.mark.parametrize(
    ("coupon", "discounted"),
    [
        ({"duration": "once", "percent_off": 20}, 1),
        ({"duration": "repeating", "duration_in_months": 2, "percent_off": 20}, 2),
        ({"duration": "forever", "percent_off": 20}, 4),
        ({"duration": "forever", "amount_off": 200, "currency": "usd"}, 4),
    ],
)
def test_a_coupon_lasts_as_long_as_it_says(stripe: Stripe, coupon: Json, discounted: int) -> None:
    made = stripe.post("coupons", **coupon)
    subscription = stripe.subscribe(stripe.customer(), stripe.price(1000), discounts=[{"coupon": made["id"]}])
    stripe.advance(START + 100 * DAY)
    totals = [invoice["total"] for invoice in stripe.all("invoices")[::-1]]
    assert totals == [800] * discounted + [1000] * (4 - discounted)
    left = stripe.get(f"subscriptions/{subscription['id']}")["discounts"]
    assert len(left) == (1 if coupon["duration"] == "forever" else 0)
    ended = stripe.events("customer.discount.deleted")
    assert len(ended) == 1 - len(left)
    if coupon["duration"] == "repeating":
        assert ended[0]["created"] == billing.add_months(START, 2)


def test_discounts_are_replaced_kept_and_cleared(stripe: Stripe) -> None:
    first, second = (stripe.post("coupons", duration="forever", percent_off=off) for off in (10, 20))
    subscription = stripe.subscribe(stripe.customer(), stripe.price(), discounts=[{"coupon": first["id"]}])
    path = f"subscriptions/{subscription['id']}"
    both = stripe.post(path, discounts=[{"discount": subscription["discounts"][0]}, {"coupon": second["id"]}])
    assert both["discounts"][0] == subscription["discounts"][0]
    expanded = stripe.get(path, **{"expand[]": "discounts.source.coupon"})["discounts"]
    assert [one["source"]["coupon"]["id"] for one in expanded] == [first["id"], second["id"]]
    listed = stripe.get("subscriptions", **{"expand[]": "data.discounts"})["data"][0]["discounts"]
    assert [one["source"]["coupon"] for one in listed] == [first["id"], second["id"]]
    cleared = stripe.post(path, discounts="")
    assert cleared["discounts"] == []
    gone = [event["data"]["object"]["id"] for event in stripe.events("customer.discount.deleted")]
    assert gone == both["discounts"]


def test_refunds_never_exceed_their_charge(stripe: Stripe) -> None:
    stripe.subscribe(stripe.customer(), stripe.price(1000))
    [charge] = stripe.all("charges")
    stripe.post("refunds", charge=charge["id"], amount=400)
    assert stripe.refused("POST", "refunds", charge=charge["id"], amount=601)["param"] == "amount"
    stripe.post("refunds", charge=charge["id"])
    whole = stripe.get(f"charges/{charge['id']}")
    assert (whole["amount_refunded"], whole["refunded"]) == (1000, True)
    assert stripe.refused("POST", "refunds", charge=charge["id"])["code"] == "charge_already_refunded"
    assert [refund["amount"] for refund in stripe.all("refunds", charge=charge["id"])] == [600, 400]
    assert len(stripe.events("charge.refunded")) == len(stripe.events("refund.created")) == 2


def test_a_deleted_customer_leaves_a_tombstone_and_no_subscription(stripe: Stripe) -> None:
    customer = stripe.customer()
    subscription = stripe.subscribe(customer, stripe.price())
    assert stripe.delete(f"customers/{customer['id']}")["deleted"] is True
    assert stripe.get(f"customers/{customer['id']}") == {"id": customer["id"], "object": "customer", "deleted": True}
    assert stripe.all("customers") == []
    assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "canceled"
    kinds = [event["type"] for event in stripe.events()]
    assert kinds.index("customer.subscription.deleted") < kinds.index("customer.deleted")
    stripe.advance(START + 40 * DAY)
    assert len(stripe.all("charges")) == 1


# requests


def test_a_repeated_key_answers_the_same_and_does_nothing(stripe: Stripe) -> None:
    first = stripe.post("customers", key="k1", name="A")
    assert stripe.post("customers", key="k1", name="A") == first
    assert len(stripe.all("customers")) == 1
    assert stripe.events()[0]["request"]["idempotency_key"] == "k1"
    other = stripe.http.post("customers", data={"name": "B"}, headers={"idempotency-key": "k1"})
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")


def test_a_refused_request_changes_nothing_and_frees_its_key(stripe: Stripe) -> None:
    customer, price = stripe.customer(), stripe.price()
    before = stripe.events()
    items = {"items": [{"price": price["id"]}, {"price": "price_none"}]}
    answer = stripe.http.post(
        "subscriptions", data=form({"customer": customer["id"]} | items), headers={"idempotency-key": "k"}
    )
    assert answer.json()["error"]["code"] == "resource_missing"
    assert stripe.events() == before
    stripe.post("subscriptions", key="k", customer=customer["id"], items=[{"price": price["id"]}])


REFUSALS: list[tuple[Callable[[Json, Json], tuple[str, Json]], str]] = [
    (lambda customer, price: ("customers", {"nmae": "x"}), "parameter_unknown"),
    (lambda customer, price: ("subscriptions", {"customer": customer["id"]}), "parameter_missing"),
    (
        lambda customer, price: ("subscriptions", {"customer": "cus_0", "items": [{"price": price["id"]}]}),
        "resource_missing",
    ),
    (lambda customer, price: ("refunds", {"charge": "ch_0"}), "resource_missing"),
    (lambda customer, price: (f"{CLOCK}/advance", {"frozen_time": "soon"}), "parameter_invalid"),
    (lambda customer, price: (f"customers/{customer['id']}", {"email": {"a": "b"}}), "parameter_invalid"),
]


@pytest.mark.parametrize(("request_of", "code"), REFUSALS)
def test_bad_parameters_are_named(
    stripe: Stripe, request_of: Callable[[Json, Json], tuple[str, Json]], code: str
) -> None:
    path, fields = request_of(stripe.customer(), stripe.price())
    error = stripe.refused("POST", path, **fields)
    assert error["code"] == code
    assert error["param"]


@pytest.mark.parametrize("key", [None, "Bearer pk_live_1", "Basic c2tfdGVzdF8x"])
def test_requests_without_a_test_key_are_unauthorized(stripe: Stripe, key: str | None) -> None:
    headers = {} if key is None else {"authorization": key}
    answer = httpx.get(f"{str(stripe.http.base_url).rstrip('/')}/customers", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_the_clock_never_goes_back(stripe: Stripe) -> None:
    stripe.advance(START + DAY)
    assert stripe.refused("POST", f"{CLOCK}/advance", frozen_time=START)["param"] == "frozen_time"
    stripe.advance(START + DAY)
    assert stripe.get(CLOCK)["frozen_time"] == START + DAY


def test_a_clock_that_was_never_set_shows_real_time(state: Path) -> None:
    with serve("stripe", state=state) as running:
        stripe = Stripe(running.url)
        before = int(time.time())
        made = stripe.customer()["created"]
        assert before <= made <= int(time.time())
        subscription = stripe.subscribe(stripe.customer(), stripe.price(), trial_end=int(time.time()) + 1)
        deadline = time.monotonic() + 20
        while stripe.get(f"subscriptions/{subscription['id']}")["status"] == "trialing":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert stripe.events("charge.succeeded")[0]["created"] == subscription["trial_end"]


def test_a_restart_keeps_objects_clock_keys_and_identifiers(state: Path) -> None:
    def world(url: str) -> list[list[Json]]:
        stripe = Stripe(url)
        return [stripe.all(stream) for stream in (*STREAMS, "events")] + [[stripe.get(CLOCK)]]

    with serve("stripe", state=state) as running:
        stripe = Stripe(running.url)
        stripe.advance(START)
        made = stripe.post("customers", key="k", name="A")
        stripe.subscribe(made, stripe.price(), discounts=[])
        before = world(running.url)
    with serve("stripe", state=state) as running:
        assert world(running.url) == before
        stripe = Stripe(running.url)
        assert stripe.post("customers", key="k", name="A") == made
        again = stripe.customer()["id"]
        assert again not in json.dumps(before)
        stripe.advance(START + 31 * DAY)
        assert created(stripe, "charge.succeeded")[-1] == billing.add_months(START, 1)
