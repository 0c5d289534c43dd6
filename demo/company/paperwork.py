"""What a billing team does beside selling: promotion codes, credit notes, disputes, schedules, metered use.

None of it changes what a customer pays each month: the book and the ledger know nothing of it. What is done on a day
is decided by the day and by what happened before it, so that a day that is lived again is lived alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from demo.company.book import DAY, Account
from demo.company.web import Api

METER_EVENT = "ai_requests"
_CREDIT_EVERY, _SCHEDULE_EVERY, _METER_EVERY, _ANSWER_EVERY = 6, 11, 7, 5
_DISPUTE_EVERY, _DISPUTE_DAYS = 20, 18
_DISPUTED = "pm_card_createDispute"
_CARD = "invoice_settings[default_payment_method]"


def open_office(api: Api, key: Callable[..., str], coupon: str) -> None:
    """A promotion code, tax rates and a meter: once, on the first day."""
    api.post_form("/v1/promotion_codes", {"promotion[coupon]": coupon, "code": "WELCOME"}, key=key("promotion"))
    for country, percentage in (("DE", 19), ("GB", 20)):
        rate = {"display_name": "VAT", "country": country, "percentage": percentage, "inclusive": "false"}
        api.post_form("/v1/tax_rates", rate, key=key("tax", country))
    meter = {"display_name": "AI requests", "event_name": METER_EVENT, "default_aggregation[formula]": "sum"}
    api.post_form("/v1/billing/meters", meter, key=key("meter"))


def work(api: Api, key: Callable[..., str], accounts: Mapping[str, Account], *, day: int, begin: int) -> None:
    """The paperwork of a day that begins at ``begin`` (Unix seconds)."""
    customers = [account for _, account in sorted(accounts.items()) if account.id]
    if not customers:
        return
    if day % _CREDIT_EVERY == 4:
        _credit(api, key, customers[day * 5 % len(customers)], day=day, begin=begin)
    if day % _SCHEDULE_EVERY == 6:
        _schedule(api, key, customers[day * 3 % len(customers)], day=day)
    if day % _DISPUTE_EVERY == 1:
        account = customers[day * 7 % len(customers)]
        if account.card_works:
            api.post_form(f"/v1/customers/{account.id}", {_CARD: _DISPUTED}, key=key("dispute", day))
    if day % _DISPUTE_EVERY == 1 + _DISPUTE_DAYS:
        _calm(api, key, customers, day=day)
    if day % _ANSWER_EVERY == 0:
        _answer(api, key, day=day, begin=begin)
    if day % _METER_EVERY == 3:
        _meter(api, key, customers, day=day, begin=begin)


def _credit(api: Api, key: Callable[..., str], account: Account, *, day: int, begin: int) -> None:
    """A part of the newest invoice that was paid before today, given back by bank transfer."""
    invoices = api.get("/v1/invoices", customer=str(account.id), status="paid", limit=100)["data"]
    paid = [one for one in invoices if one["amount_paid"] >= 100 and one["status_transitions"]["paid_at"] < begin]
    if paid:
        newest = max(paid, key=lambda one: (one["created"], one["id"]))
        amount = newest["amount_paid"] // 50
        note = {"invoice": newest["id"], "amount": amount, "out_of_band_amount": amount, "reason": "order_change"}
        api.post_form("/v1/credit_notes", note, key=key("credit", day))


def _schedule(api: Api, key: Callable[..., str], account: Account, *, day: int) -> None:
    """The terms of a running subscription are fixed until its period ends."""
    main = account.main
    if main is not None and main.state == "live" and main.cancel_at is None:
        subscription = api.get(f"/v1/subscriptions/{main.id}")
        if subscription["status"] == "active" and subscription["schedule"] is None:
            api.post_form("/v1/subscription_schedules", {"from_subscription": str(main.id)}, key=key("schedule", day))


def _answer(api: Api, key: Callable[..., str], *, day: int, begin: int) -> None:
    """Every other dispute is worth an answer; the others are lost in time."""
    for dispute in _open_disputes(api, begin):
        if int(dispute["id"].rpartition("_")[2]) % 2 == 0:
            evidence = {"evidence[uncategorized_text]": "The service was used."}
            api.post_form(f"/v1/disputes/{dispute['id']}", evidence, key=key("answer", dispute["id"]))


def _calm(api: Api, key: Callable[..., str], customers: Sequence[Account], *, day: int) -> None:
    """Those who contested their charges pay by another card from now on."""
    for account in customers:
        settings = api.get(f"/v1/customers/{account.id}").get("invoice_settings") or {}
        if account.card_works and settings.get("default_payment_method") == _DISPUTED:
            api.post_form(f"/v1/customers/{account.id}", {_CARD: "pm_card_visa"}, key=key("calm", account.id, day))


def _open_disputes(api: Api, begin: int) -> list[dict[str, Any]]:
    disputes = api.get("/v1/disputes", limit=100)["data"]
    return [one for one in disputes if one["status"] == "needs_response" and one["created"] < begin]


def _meter(api: Api, key: Callable[..., str], customers: Sequence[Account], *, day: int, begin: int) -> None:
    """Use of the day before, for every customer with a plan."""
    for number, account in enumerate(customers):
        if account.main is not None and account.main.state == "live":
            use = {"payload[stripe_customer_id]": str(account.id), "payload[value]": account.seats * (2 + number % 5)}
            event = {"event_name": METER_EVENT, "timestamp": begin - DAY // 2, "identifier": f"{account.id}-{day}"}
            api.post_form("/v1/billing/meter_events", {**event, **use}, key=key("use", account.id, day))
