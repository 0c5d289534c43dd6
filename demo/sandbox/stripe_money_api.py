"""Requests about what follows a payment or stands beside it: parameters in, objects out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from demo.sandbox import billing
from demo.sandbox import stripe_money_objects as shapes
from demo.sandbox.store import Json, dumps
from demo.sandbox.stripe_account import Account
from demo.sandbox.stripe_form import Form, StripeError, missing

KINDS = {
    "promotion_codes": "promotion_code",
    "tax_rates": "tax_rate",
    "subscription_schedules": "subscription_schedule",
    "payment_intents": "payment_intent",
    "credit_notes": "credit_note",
    "disputes": "dispute",
    "balance_transactions": "balance_transaction",
    "payouts": "payout",
    "billing/meters": "billing.meter",
}
# Filters of each list: parameter → column of the store, or path in the body.
FILTERS = {
    "promotion_codes": {"active": "tag", "customer": "customer", "coupon": "$.promotion.coupon", "code": "$.code"},
    "tax_rates": {"active": "tag"},
    "subscription_schedules": {"customer": "customer"},
    "payment_intents": {"customer": "customer"},
    "credit_notes": {"customer": "customer", "invoice": "parent"},
    "disputes": {"charge": "parent", "payment_intent": "$.payment_intent"},
    "balance_transactions": {"type": "tag", "source": "parent", "currency": "$.currency"},
    "payouts": {"status": "tag", "destination": "$.destination"},
    "billing/meters": {"status": "tag"},
}
_REASONS = ("duplicate", "fraudulent", "order_change", "product_unsatisfactory")
_MOST_SUMMARIES = 100


class MoneyApi:
    """The writes of this part by their route, and the reads that are no plain list."""

    def __init__(self, account: Account, live: Callable[..., Json]) -> None:
        """``live`` finds an object that was not deleted, or refuses the request."""
        self._account = account
        self._objects = account.objects
        self._live = live
        self.writes: Mapping[str, Callable[[list[str], Form], Json]] = {
            "POST promotion_codes": self._create_promotion_code,
            "POST promotion_codes/*": self._update("promotion_code"),
            "POST tax_rates": self._create_tax_rate,
            "POST tax_rates/*": self._update("tax_rate"),
            "POST subscription_schedules": self._create_schedule,
            "POST subscription_schedules/*/release": self._release_schedule,
            "POST credit_notes": self._create_credit_note,
            "POST credit_notes/*/void": self._void_credit_note,
            "POST disputes/*": self._respond,
            "POST disputes/*/close": self._close_dispute,
            "POST billing/meters": self._create_meter,
            "POST billing/meters/*": self._update_meter,
            "POST billing/meters/*/deactivate": self._deactivate_meter,
            "POST billing/meter_events": self._use,
        }

    def summaries(self, meter: str, form: Form) -> str:
        """What a customer used of a meter, in windows of a day, newest first; days without use are left out."""
        found = self._live("billing.meter", meter)
        customer = form.required("customer")
        start, end = form.integer("start_time", most=2**53), form.integer("end_time", most=2**53)
        window = form.choice("value_grouping_window", ("day",), default="")
        limit, after = form.integer("limit", least=1, most=_MOST_SUMMARIES) or 10, form.text("starting_after")
        form.done()
        if start is None or end is None or start % billing.DAY or end % billing.DAY:
            raise StripeError(f"Windows of a {window} begin and end at midnight, UTC.", param="start_time")
        days: dict[int, float] = {}
        for use in self._objects.hanging_on("meter_use", f"{found['event_name']}/{customer}"):
            day = use["time"] - use["time"] % billing.DAY
            if start <= day < end:
                counts = found["default_aggregation"]["formula"] == "count"
                days[day] = days.get(day, 0.0) + (1.0 if counts else use["value"])
        summaries = [
            shapes.meter_event_summary(
                f"mtrusg_{meter}_{customer}_{day}", meter=meter, value=value, start=day, end=day + billing.DAY
            )
            for day, value in sorted(days.items(), reverse=True)
        ]
        first = 1 + next((n for n, one in enumerate(summaries) if one["id"] == after), -1)
        page = summaries[first : first + limit]
        more = len(summaries) > first + limit
        return dumps(
            {"object": "list", "data": page, "has_more": more, "url": f"/v1/billing/meters/{meter}/event_summaries"}
        )

    # catalogue

    def _create_promotion_code(self, path: list[str], form: Form) -> Json:
        promotion = form.form("promotion")
        coupon = promotion.required("coupon")
        promotion.choice("type", ("coupon",), default="coupon")
        promotion.done()
        identifier = self._objects.new_id("promo")
        customer = form.text("customer")
        code = shapes.promotion_code(
            identifier,
            now=self._account.now,
            code=form.text("code") or identifier[-8:],
            coupon=self._live("coupon", coupon, param="promotion[coupon]")["id"],
            customer=None if customer is None else self._live("customer", customer, param="customer")["id"],
        )
        fields = {"max_redemptions": form.integer("max_redemptions", least=1), "metadata": form.metadata({})}
        form.done()
        return self._account.create(code | fields)

    def _create_tax_rate(self, path: list[str], form: Form) -> Json:
        percentage = form.decimal("percentage")
        if percentage is None or not 0 <= percentage <= 100:
            raise StripeError("Invalid percentage, must be from 0 to 100.", param="percentage")
        rate = shapes.tax_rate(
            self._objects.new_id("txr"),
            now=self._account.now,
            display_name=form.required("display_name"),
            percentage=percentage,
            inclusive=form.choice("inclusive", ("true", "false"), default="") == "true",
        )
        fields: Json = {name: form.text(name) for name in ("country", "jurisdiction", "description", "tax_type")}
        fields["metadata"] = form.metadata({})
        form.done()
        return self._account.create(rate | fields)

    def _update(self, kind: str) -> Callable[[list[str], Form], Json]:
        def update(path: list[str], form: Form) -> Json:
            item = self._live(kind, path[1])
            fields: Json = {"active": form.boolean("active") is not False} if "active" in form else {}
            if "metadata" in form:
                fields["metadata"] = form.metadata(item["metadata"])
            form.done()
            return self._account.change(item, **fields)

        return update

    # schedules, credit notes, disputes

    def _create_schedule(self, path: list[str], form: Form) -> Json:
        subscription = self._live("subscription", form.required("from_subscription"), param="from_subscription")
        form.done()
        return self._account.schedule(subscription)

    def _release_schedule(self, path: list[str], form: Form) -> Json:
        form.done()
        return self._account.release(self._live("subscription_schedule", path[1]))

    def _create_credit_note(self, path: list[str], form: Form) -> Json:
        invoice = self._live("invoice", form.required("invoice"), param="invoice")
        amount, outside = form.integer("amount", least=1), form.integer("out_of_band_amount", least=1)
        reason = form.choice("reason", ("", *_REASONS), default="") or None
        memo = form.text("memo")
        form.done()
        if amount is None:
            raise StripeError("Missing required param: amount.", param="amount", code="parameter_missing")
        if outside != (amount if invoice["status"] == "paid" else None):
            message = "Of a paid invoice, `out_of_band_amount` must say that all of it was given back elsewhere."
            raise StripeError(message, param="out_of_band_amount")
        return self._account.money.credit(invoice, amount=amount, reason=reason, memo=memo)

    def _void_credit_note(self, path: list[str], form: Form) -> Json:
        form.done()
        return self._account.money.void_credit(self._live("credit_note", path[1]))

    def _respond(self, path: list[str], form: Form) -> Json:
        evidence = form.form("evidence")
        text = evidence.text("uncategorized_text")
        evidence.done()
        form.done()
        return self._account.money.respond(self._live("dispute", path[1]), text=text)

    def _close_dispute(self, path: list[str], form: Form) -> Json:
        form.done()
        dispute = self._live("dispute", path[1])
        if dispute["status"] != "needs_response":
            raise StripeError("This dispute is already closed or under review.", param="dispute")
        return self._account.money.close(dispute)

    # meters

    def _create_meter(self, path: list[str], form: Form) -> Json:
        aggregation = form.form("default_aggregation")
        meter = shapes.meter(
            self._objects.new_id("mtr"),
            now=self._account.now,
            display_name=form.required("display_name"),
            event_name=form.required("event_name"),
            formula=aggregation.choice("formula", ("sum", "count"), default=""),
        )
        aggregation.done()
        form.done()
        return self._account.create(meter)

    def _update_meter(self, path: list[str], form: Form) -> Json:
        meter = self._live("billing.meter", path[1])
        name = form.required("display_name")
        form.done()
        return self._account.change(meter, display_name=name, updated=self._account.now)

    def _deactivate_meter(self, path: list[str], form: Form) -> Json:
        form.done()
        meter = self._live("billing.meter", path[1])
        now = self._account.now
        transitions = {"deactivated_at": now}
        fields: Json = {"status": "inactive", "updated": now, "status_transitions": transitions}
        return self._account.change(meter, "billing.meter.deactivated", **fields)

    def _use(self, path: list[str], form: Form) -> Json:
        """A meter event. One with an identifier that is known already is counted once."""
        name = form.required("event_name")
        payload = form.form("payload")
        customer, value = payload.required("stripe_customer_id"), payload.decimal("value")
        payload.done()
        identifier = form.text("identifier") or self._objects.new_id("mtrevt")
        time = form.integer("timestamp", most=2**53) or self._account.now
        form.done()
        if not any(meter["event_name"] == name for meter in self._objects.of_kind("billing.meter")):
            raise missing("billing meter with event name", name, param="event_name", status=400)
        use: dict[str, Any] = {
            "object": "meter_use",
            "id": f"use_{identifier}",
            "use": f"{name}/{customer}",
            "time": time,
            "value": 0.0 if value is None else value,
        }
        if self._objects.get(use["id"]) is None:
            self._objects.insert(use, now=self._account.now)
        return shapes.meter_event(
            now=self._account.now,
            name=name,
            identifier=identifier,
            payload={"stripe_customer_id": customer, "value": str(value)},
            timestamp=time,
        )
