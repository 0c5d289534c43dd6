"""The life of one Stripe account: every change saved with its event, and what time alone does to subscriptions.

The clock walks from one due moment to the next, so that each object and event carries the simulated time at which it
truly came to be. Nothing here is HTTP: ``stripe_api`` parses requests and calls in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from demo.sandbox import billing
from demo.sandbox import stripe_money_objects as money_shapes
from demo.sandbox import stripe_objects as shapes
from demo.sandbox.store import Json
from demo.sandbox.stripe_form import StripeError, missing
from demo.sandbox.stripe_money import DISPUTED_CARD, Money
from demo.sandbox.stripe_store import Objects

CLOCK = "clock_sandbox"
WORKING_CARD, FAILING_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"
CARDS = (WORKING_CARD, FAILING_CARD, DISPUTED_CARD)
_EVENT_NAMES = {
    "subscription": "customer.subscription",
    "discount": "customer.discount",
    "dispute": "charge.dispute",
}
_LIVE = ("active", "past_due", "unpaid")


@dataclass(frozen=True)
class ItemChange:
    """What a request asks of one subscription item; ``identifier`` None adds an item."""

    identifier: str | None
    price: Json | None
    quantity: int | None
    deleted: bool


class Account:
    """Objects, clock and billing. Writes belong in a transaction of ``objects.state``; ``catch_up`` comes first."""

    def __init__(self, path: Path, *, after_retries: Literal["cancel", "unpaid"]) -> None:
        self.objects = Objects(path)
        self.money = Money(self)
        self.request: tuple[str | None, str | None] = (None, None)
        self._after_retries = after_retries
        self._frozen: int | None = self.objects.state.meta("frozen_time")
        self.now = self._frozen if self._frozen is not None else max(int(time.time()), self.objects.newest())

    # the clock

    def overdue(self) -> bool:
        """Bring ``now`` to the present; whether something fell due meanwhile. A frozen clock stands still."""
        if self._frozen is not None:
            return False
        present = max(int(time.time()), self.now)
        if self.objects.next_due(present) is not None:
            return True
        self.now = present
        return False

    def catch_up(self) -> None:
        """Without a frozen clock, let happen what fell due until the present."""
        if self.overdue():
            self._walk(max(int(time.time()), self.now))

    def clock(self) -> Json:
        return shapes.test_clock(CLOCK, now=self.now, created=self.objects.state.meta("clock_created") or self.now)

    def advance(self, moment: int) -> Json:
        """Walk to ``moment`` and stay there. A clock that was never set may be set to any time while nothing exists."""
        fresh = self._frozen is None and self.objects.newest() == 0
        if moment < self.now and not fresh:
            raise StripeError("`frozen_time` must not be before the clock's current time.", param="frozen_time")
        if self._frozen is None:
            self.objects.state.set_meta("clock_created", moment)
        if fresh:
            self.now = moment
        self._walk(moment)
        self._frozen = moment
        self.objects.state.set_meta("frozen_time", moment)
        return self.clock()

    def forget(self) -> None:
        """After a rollback: back to what the state file says."""
        self.objects.reset_counter()
        self._frozen = self.objects.state.meta("frozen_time")
        self.now = self._frozen if self._frozen is not None else max(int(time.time()), self.objects.newest())

    def _walk(self, until: int) -> None:
        self.request = (None, None)  # what time does, no request did
        while (due := self.objects.next_due(until)) is not None:
            moment, item = due
            self.now = max(self.now, moment)
            fall_due = {
                "discount": self._end_discount,
                "invoice": self.collect,
                "balance_transaction": self.money.becomes_available,
                "payout_run": self.money.pay_out,
                "payout": lambda payout: self.change(payout, "payout.paid", status="paid"),
                "dispute": self.money.close,
                "subscription_schedule": self.complete,
                "subscription": self._fall_due,
            }
            fall_due[item["object"]](item)
        self.now = max(self.now, until)

    def _fall_due(self, subscription: Json) -> None:
        pause = subscription["pause_collection"]
        if subscription["status"] == "incomplete":
            self._expire(subscription)
        elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= self.now:
            self.cancel(subscription, reason=subscription["cancellation_details"]["reason"])
        elif pause is not None and pause["resumes_at"] is not None and pause["resumes_at"] <= self.now:
            self.change(subscription, pause_collection=None)
        elif billing.period(subscription)[1] <= self.now:
            self._renew(subscription)
        else:
            self.emit("customer.subscription.trial_will_end", subscription)
            self.objects.reschedule(subscription, now=self.now)

    # objects and their events

    def create(self, item: Json) -> Json:
        self.objects.insert(item, now=self.now)
        self.emit(f"{_EVENT_NAMES.get(item['object'], item['object'])}.created", item)
        return item

    def change(self, item: Json, event: str | None = None, **fields: Any) -> Json:
        """``item`` with top-level fields replaced: saved, and told by an event (``….updated`` unless named).

        Nothing happens when nothing differs.
        """
        previous = {name: item[name] for name, value in fields.items() if item[name] != value}
        if not previous:
            return item
        if "metadata" in previous:
            keys = previous["metadata"].keys() | fields["metadata"].keys()
            pairs = {key: previous["metadata"].get(key) for key in sorted(keys)}
            previous["metadata"] = {key: old for key, old in pairs.items() if fields["metadata"].get(key) != old}
        changed = item | fields
        self.objects.replace(changed, now=self.now)
        if event is None:
            self.emit(f"{_EVENT_NAMES.get(item['object'], item['object'])}.updated", changed, previous)
        else:
            self.emit(event, changed)
        return changed

    def delete(self, item: Json) -> None:
        self.objects.delete(item["id"])
        self.emit(f"{_EVENT_NAMES.get(item['object'], item['object'])}.deleted", item)

    def emit(self, kind: str, item: Json, previous: Json | None = None) -> None:
        identifier = self.objects.new_id("evt")
        event = shapes.event(identifier, now=self.now, kind=kind, item=item, previous=previous, request=self.request)
        self.objects.insert(event, now=self.now)

    def _fresh(self, item: Json) -> Json:
        return self.known(item["id"])

    def known(self, identifier: str) -> Json:
        """An object that is referred to, and hence exists."""
        item = self.objects.get(identifier)
        if item is None:
            raise LookupError("a referenced object is not there")
        return item

    # subscriptions

    def subscribe(
        self,
        *,
        customer: Json,
        items: Sequence[tuple[Json, int]],
        coupons: Sequence[Json],
        trial_end: int | None,
        fields: Json,
    ) -> Json:
        """A new subscription to (price, quantity) items, billed at once or after its trial."""
        identifier = self.objects.new_id("sub")
        first = items[0][0]
        self._fit_together([price for price, _ in items], first["currency"])
        trialing = trial_end is not None and trial_end > self.now
        anchor = trial_end if trialing and trial_end is not None else self.now
        end = anchor if trialing else _boundary(first, anchor=anchor, after=anchor)
        subscription = shapes.subscription(
            identifier,
            now=self.now,
            customer=customer["id"],
            currency=first["currency"],
            status="trialing" if trialing else "active",
            anchor=anchor,
        )
        members = [
            shapes.subscription_item(
                self.objects.new_id("si"),
                now=self.now,
                subscription=identifier,
                price=price,
                quantity=quantity,
                start=self.now,
                end=end,
            )
            for price, quantity in items
        ]
        if trialing:
            subscription |= {"trial_start": self.now, "trial_end": trial_end}
        subscription |= fields | {
            "items": shapes.items_of(identifier, members),
            "discounts": [self._grant(coupon, customer["id"], identifier, first["currency"]) for coupon in coupons],
            "latest_invoice": self.objects.new_id("in"),
        }
        if subscription["cancel_at_period_end"]:
            subscription |= self._cancellation(subscription, at_period_end=True)
        lines = self._period_lines(subscription, trial=trialing)
        amount = sum(line["amount"] for line in lines) - sum(self._discounted(subscription, lines).total.values())
        if (
            not self._card_works(customer)
            and amount + customer["balance"] > 0
            and subscription["pause_collection"] is None
        ):
            subscription["status"] = "incomplete"
        self.create(subscription)
        if trialing and end - self.now <= billing.TRIAL_NOTICE:
            self.emit("customer.subscription.trial_will_end", subscription)
        if customer["currency"] is None:
            self.change(customer, currency=first["currency"])
        self._bill(
            subscription,
            lines,
            reason="subscription_create",
            period=(self.now, self.now),
            invoice=subscription["latest_invoice"],
        )
        return self._fresh(subscription)

    def revise(
        self,
        subscription: Json,
        *,
        items: Sequence[ItemChange],
        fields: Json,
        proration: Literal["create_prorations", "always_invoice", "none"],
        discounts: Sequence[Json | str] | None = None,
        cancel_at_period_end: bool | None = None,
        trial_end: int | None = None,
    ) -> Json:
        """Change a subscription: one ``updated`` event with all of it; what it costs or frees is prorated.

        ``discounts``: coupons to grant and ids of discounts to keep; ``trial_end``: end of the running trial, the
        clock's time to end it now. A change of the billing interval starts a new period and is invoiced at once.
        """
        if subscription["status"] in ("canceled", "incomplete_expired"):
            raise StripeError("A canceled subscription can only update its metadata.", code="resource_missing")
        changes = dict(fields)
        lines: list[Json] = []
        bill_now = False
        if items:
            members = self._revised_items(subscription, items)
            old = subscription["items"]["data"]
            start, end = billing.period(subscription)
            running = subscription["status"] in _LIVE
            restarts = running and _interval(old[0]["price"]) != _interval(members[0]["price"])
            if running and proration != "none":
                lines = self._prorations(old, [] if restarts else members, start=start, end=end)
            if restarts:
                end = _boundary(members[0]["price"], anchor=self.now, after=self.now)
                start = self.now
                changes["billing_cycle_anchor"] = self.now
            members = [item | {"current_period_start": start, "current_period_end": end} for item in members]
            changes["items"] = shapes.items_of(subscription["id"], members)
            if restarts:
                lines += self._period_lines(subscription | changes)
            bill_now = restarts or (proration == "always_invoice" and bool(lines))
        if trial_end is not None and subscription["status"] != "trialing":
            raise StripeError("Only a running trial can be moved.", param="trial_end")
        if trial_end is not None:
            moved = [item | {"current_period_end": trial_end} for item in (subscription | changes)["items"]["data"]]
            changes |= {
                "trial_end": trial_end,
                "billing_cycle_anchor": trial_end,
                "items": shapes.items_of(subscription["id"], moved),
            }
        if cancel_at_period_end is not None:
            changes |= self._cancellation(subscription | changes, at_period_end=cancel_at_period_end)
        elif subscription["cancel_at_period_end"]:
            changes["cancel_at"] = billing.period(subscription | changes)[1]
        dropped: list[str] = []
        if discounts is not None:
            kept = [one for one in discounts if isinstance(one, str)]
            if unknown := [one for one in kept if one not in subscription["discounts"]]:
                raise missing("discount", unknown[0], param="discounts", status=400)
            dropped = [one for one in subscription["discounts"] if one not in kept]
            changes["discounts"] = [
                one
                if isinstance(one, str)
                else self._grant(one, subscription["customer"], subscription["id"], subscription["currency"])
                for one in discounts
            ]
        if bill_now:
            changes["latest_invoice"] = self.objects.new_id("in")
        revised = self.change(subscription, **changes)
        for identifier in dropped:
            self.delete(self.known(identifier))
        if bill_now:
            self._bill(
                revised,
                lines,
                reason="subscription_update",
                period=(self.now, self.now),
                invoice=revised["latest_invoice"],
            )
        else:
            for line in lines:
                proration_of = {"object": "proration", "id": self.objects.new_id("ii"), "subscription": revised["id"]}
                self.objects.insert(proration_of | {"line": line}, now=self.now)
        if trial_end is not None and trial_end <= self.now:
            self._renew(revised)
        return self._fresh(revised)

    def cancel(self, subscription: Json, *, reason: str | None = "cancellation_requested") -> Json:
        """End a subscription now. What was open is no longer collected, what was not yet invoiced is dropped."""
        canceled = subscription | {
            "status": "canceled",
            "canceled_at": subscription["canceled_at"] or self.now,
            "ended_at": self.now,
            "cancellation_details": subscription["cancellation_details"] | {"reason": reason},
        }
        self.objects.replace(canceled, now=self.now)
        self.emit("customer.subscription.deleted", canceled)
        if canceled["schedule"] is not None:
            schedule = self.known(canceled["schedule"])
            ended: Json = {"status": "canceled", "canceled_at": self.now, "current_phase": None}
            self.change(schedule, "subscription_schedule.canceled", **ended)
        for pending in self.objects.hanging_on("proration", subscription["id"]):
            self.objects.erase(pending["id"])
        for invoice in self.objects.hanging_on("invoice", subscription["id"]):
            if invoice["status"] in ("open", "draft"):
                self.change(invoice, auto_advance=False, next_payment_attempt=None)
        return canceled

    def _expire(self, subscription: Json) -> None:
        self.change(subscription, status="incomplete_expired", ended_at=self.now)
        self.void(self.known(subscription["latest_invoice"]))

    def _renew(self, subscription: Json) -> None:
        """The next period begins, the first after a trial included."""
        price = subscription["items"]["data"][0]["price"]
        start, end = billing.period(subscription)
        ended = min(end, self.now)
        upto = _boundary(price, anchor=subscription["billing_cycle_anchor"], after=ended)
        members = [
            item | {"current_period_start": ended, "current_period_end": upto} for item in subscription["items"]["data"]
        ]
        changes: Json = {
            "items": shapes.items_of(subscription["id"], members),
            "latest_invoice": self.objects.new_id("in"),
        }
        if subscription["status"] == "trialing":
            changes["status"] = "active"
        renewed = self.change(subscription, **changes)
        lines = self._period_lines(renewed)
        identifier = renewed["latest_invoice"]
        self._bill(renewed, lines, reason="subscription_cycle", period=(start, ended), invoice=identifier)

    def _cancellation(self, subscription: Json, *, at_period_end: bool) -> Json:
        details = subscription["cancellation_details"]
        return {
            "cancel_at_period_end": at_period_end,
            "cancel_at": billing.period(subscription)[1] if at_period_end else None,
            "canceled_at": self.now if at_period_end else None,
            "cancellation_details": details | {"reason": "cancellation_requested" if at_period_end else None},
        }

    def _revised_items(self, subscription: Json, changes: Sequence[ItemChange]) -> list[Json]:
        members: dict[str, Json] = {item["id"]: item for item in subscription["items"]["data"]}
        start, end = billing.period(subscription)
        for change in changes:
            if change.identifier is None:
                if change.price is None:
                    raise StripeError(
                        "Missing required param: items[0][price].", param="items", code="parameter_missing"
                    )
                identifier = self.objects.new_id("si")
                members[identifier] = shapes.subscription_item(
                    identifier,
                    now=self.now,
                    subscription=subscription["id"],
                    price=change.price,
                    quantity=1 if change.quantity is None else change.quantity,
                    start=start,
                    end=end,
                )
            elif change.identifier not in members:
                raise missing("subscription_item", change.identifier, param="items", status=400)
            elif change.deleted:
                del members[change.identifier]
            else:
                item = members[change.identifier]
                members[change.identifier] = shapes.with_price(
                    item,
                    price=change.price or item["price"],
                    quantity=item["quantity"] if change.quantity is None else change.quantity,
                )
        if not members:
            raise StripeError("A subscription must have at least one item.", param="items")
        self._fit_together([item["price"] for item in members.values()], subscription["currency"])
        return list(members.values())

    def _fit_together(self, prices: Sequence[Json], currency: str) -> None:
        if len({_interval(price) for price in prices}) > 1:
            raise StripeError("Prices of one subscription must share their billing interval.", param="items")
        if any(price["currency"] != currency for price in prices):
            raise StripeError(f"All prices must be in the subscription's currency, {currency}.", param="items")

    # schedules

    def schedule(self, subscription: Json) -> Json:
        """Put a subscription under a schedule that ends with its current period."""
        if subscription["schedule"] is not None or subscription["status"] not in ("trialing", *_LIVE):
            raise StripeError("The subscription is scheduled already, or has ended.", param="from_subscription")
        start, end = billing.period(subscription)
        identifier = self.objects.new_id("sub_sched")
        made = self.create(
            money_shapes.subscription_schedule(
                identifier, now=self.now, subscription=subscription, start=start, end=end
            )
        )
        self.change(subscription, schedule=identifier)
        return made

    def complete(self, schedule: Json) -> Json:
        """The last phase is over: the subscription goes on without it."""
        return self._unschedule(schedule, "completed", completed_at=self.now)

    def release(self, schedule: Json) -> Json:
        """Let go of the subscription before the end."""
        of = schedule["subscription"]
        return self._unschedule(schedule, "released", released_at=self.now, released_subscription=of)

    def _unschedule(self, schedule: Json, status: str, **fields: Any) -> Json:
        if schedule["status"] != "active":
            raise StripeError(f"The schedule is {schedule['status']}.", param="schedule")
        subscription = self.known(schedule["subscription"])
        if subscription["schedule"] == schedule["id"]:
            self.change(subscription, schedule=None)
        gone = {"current_phase": None, "status": status} | ({"subscription": None} if status == "released" else {})
        return self.change(schedule, f"subscription_schedule.{status}", **gone, **fields)

    # discounts

    def _grant(self, coupon: Json, customer: str, subscription: str, currency: str) -> str:
        coupon = self._fresh(coupon)
        if not coupon["valid"]:
            raise StripeError(
                "This coupon has been redeemed as often as it may.", code="coupon_expired", param="coupon"
            )
        if coupon["amount_off"] is not None and coupon["currency"] != currency:
            raise StripeError(f"The coupon is not in the subscription's currency, {currency}.", param="coupon")
        redeemed = coupon["times_redeemed"] + 1
        left = coupon["max_redemptions"] is None or redeemed < coupon["max_redemptions"]
        self.change(coupon, times_redeemed=redeemed, valid=left)
        months = coupon["duration_in_months"] if coupon["duration"] == "repeating" else None
        granted = shapes.discount(
            self.objects.new_id("di"),
            coupon=coupon["id"],
            customer=customer,
            subscription=subscription,
            start=self.now,
            end=None if months is None else billing.add_months(self.now, months),
        )
        self.create(granted)
        return str(granted["id"])

    def _end_discount(self, discount: Json) -> None:
        self.delete(discount)
        subscription = self.known(discount["subscription"])
        if subscription["status"] not in ("canceled", "incomplete_expired"):
            left = [identifier for identifier in subscription["discounts"] if identifier != discount["id"]]
            self.change(subscription, discounts=left)

    def _coupons(self, subscription: Json) -> list[tuple[str, Json]]:
        discounts = [self.known(identifier) for identifier in subscription["discounts"]]
        return [(discount["id"], self.known(discount["source"]["coupon"])) for discount in discounts]

    def _discounted(self, subscription: Json, lines: Sequence[Json]) -> billing.Discounts:
        return billing.discount([line["amount"] for line in lines], self._coupons(subscription))

    # invoices

    def _period_lines(self, subscription: Json, *, trial: bool = False) -> list[Json]:
        return [self._line(item, proration=False, trial=trial) for item in subscription["items"]["data"]]

    def _line(
        self, item: Json, *, proration: bool, trial: bool = False, amount: int | None = None, start: int | None = None
    ) -> Json:
        if amount is None:
            amount = 0 if trial else item["price"]["unit_amount"] * item["quantity"]
        what = (
            "Trial period for"
            if trial
            else "Unused time on"
            if amount < 0
            else "Remaining time on"
            if proration
            else ""
        )
        return shapes.line_item(
            self.objects.new_id("il"),
            item=item,
            amount=amount,
            start=item["current_period_start"] if start is None else start,
            end=item["current_period_end"],
            proration=proration,
            description=f"{what} {item['quantity']} x {item['price']['nickname'] or item['price']['id']}".strip(),
        )

    def _prorations(self, old: Sequence[Json], new: Sequence[Json], *, start: int, end: int) -> list[Json]:
        """A credit for the unused rest of each item that changed, and the price of the rest as it is now."""

        def terms(item: Json) -> tuple[str, int]:
            return item["price"]["id"], item["quantity"]

        before, after = ({item["id"]: item for item in items} for items in (old, new))
        lines = []
        for sign, items, others in ((-1, before, after), (1, after, before)):
            for identifier, item in items.items():
                if identifier in others and terms(others[identifier]) == terms(item):
                    continue
                whole = item["price"]["unit_amount"] * item["quantity"]
                rest = sign * billing.prorate(whole, start=start, end=end, at=self.now)
                if rest:
                    lines.append(self._line(item, proration=True, amount=rest, start=self.now))
        return lines

    def _bill(
        self, subscription: Json, lines: Sequence[Json], *, reason: str, period: tuple[int, int], invoice: str
    ) -> None:
        """Make an invoice of ``lines`` and the waiting prorations, use up one-time coupons, and collect it."""
        pending = self.objects.hanging_on("proration", subscription["id"])
        for one in pending:
            self.objects.erase(one["id"])
        lines = [*lines, *(one["line"] for one in pending)]
        discounts = self._discounted(subscription, lines)
        customer = self.known(subscription["customer"])
        draft = shapes.invoice(
            invoice,
            now=self.now,
            customer=customer,
            subscription=subscription,
            currency=subscription["currency"],
            reason=reason,
            lines=[
                line
                | {
                    "invoice": invoice,
                    "discounts": subscription["discounts"],
                    "discount_amounts": shapes.discount_amounts(off),
                }
                for line, off in zip(lines, discounts.by_line, strict=True)
            ],
            period=period,
            discounts=discounts.total,
        )
        collects = subscription["pause_collection"] is None and subscription["status"] != "unpaid"
        draft["auto_advance"] = collects
        self.create(draft)
        for identifier in discounts.total:
            if self.known(self.known(identifier)["source"]["coupon"])["duration"] == "once":
                self._end_discount(self.known(identifier))
        if collects:
            self.collect(self.finalize(draft))
        elif subscription["pause_collection"] is not None:
            behavior = subscription["pause_collection"]["behavior"]
            if behavior == "void":
                self.void(self.finalize(draft))
            elif behavior == "mark_uncollectible":
                self._transition(self.finalize(draft), "uncollectible", "marked_uncollectible")

    def finalize(self, invoice: Json) -> Json:
        """A draft gets its number and takes the customer's balance into account; from now on it is open."""
        customer = self.known(invoice["customer"])
        balance = customer["balance"]
        due = max(0, invoice["total"] + balance)
        # What a credit did not use up, or what the invoice itself gives back, is kept for the next one.
        ending = min(0, invoice["total"] + balance) if due == 0 else 0
        number = self.objects.numbered_invoices(customer["id"]) + 1
        finalized = self.change(
            invoice,
            "invoice.finalized",
            status="open",
            number=f"{customer['invoice_prefix']}-{number:04d}",
            effective_at=self.now,
            starting_balance=balance,
            ending_balance=ending,
            amount_due=due,
            amount_remaining=due,
            status_transitions=invoice["status_transitions"] | {"finalized_at": self.now},
        )
        self.change(customer, balance=ending)
        return finalized

    def void(self, invoice: Json) -> Json:
        """An open invoice is owed no more; what it took from the customer's balance goes back."""
        customer = self.known(invoice["customer"])
        self.change(customer, balance=customer["balance"] + invoice["starting_balance"] - invoice["ending_balance"])
        return self._transition(invoice, "void", "voided")

    def _transition(self, invoice: Json, status: str, name: str) -> Json:
        transitions = invoice["status_transitions"] | {f"{name}_at": self.now}
        fields = {"status": status, "status_transitions": transitions, "auto_advance": False}
        return self.change(invoice, f"invoice.{name}", **fields, next_payment_attempt=None)

    def collect(self, invoice: Json) -> bool:
        """Charge an open invoice once; whether it is paid. Its subscription and customer follow."""
        customer = self.known(invoice["customer"])
        amount = invoice["amount_remaining"]
        paid = amount == 0 or self._card_works(customer)
        attempts = invoice["attempt_count"] + (amount > 0)
        if amount:
            intent = self.money.attempt(invoice, customer, amount=amount)
            charge = shapes.charge(
                self.objects.new_id("ch"),
                now=self.now,
                amount=amount,
                currency=invoice["currency"],
                customer=customer,
                payment_method=customer["invoice_settings"]["default_payment_method"] or WORKING_CARD,
                succeeds=paid,
            )
            self.money.settle(intent, charge)
        subscription = self.known(invoice["parent"]["subscription_details"]["subscription"])
        if paid:
            self.change(
                invoice,
                "invoice.paid",
                status="paid",
                attempted=True,
                attempt_count=attempts,
                amount_paid=amount,
                amount_remaining=0,
                auto_advance=False,
                next_payment_attempt=None,
                status_transitions=invoice["status_transitions"] | {"paid_at": self.now},
            )
            latest = subscription["latest_invoice"] == invoice["id"]
            if latest:
                self.change(customer, delinquent=False)
            if latest and subscription["status"] in ("incomplete", "past_due", "unpaid"):
                self.change(subscription, status="active")
            return True
        again = None
        if subscription["status"] in ("active", "past_due", "trialing"):
            again = billing.next_attempt(attempts, now=self.now)
        self.change(
            invoice,
            "invoice.payment_failed",
            attempted=True,
            attempt_count=attempts,
            auto_advance=again is not None,
            next_payment_attempt=again,
        )
        self.change(customer, delinquent=True)
        if subscription["status"] == "active" and again is not None:
            self.change(subscription, status="past_due")
        elif subscription["status"] in ("active", "past_due") and again is None:
            if self._after_retries == "cancel":
                self.cancel(subscription, reason="payment_failed")
            else:
                self.change(subscription, status="unpaid")
        return False

    def _card_works(self, customer: Json) -> bool:
        return bool(customer["invoice_settings"]["default_payment_method"] != FAILING_CARD)

    # refunds and customers

    def refund(self, charge: Json, *, amount: int | None, reason: str | None, metadata: dict[str, str]) -> Json:
        """Give back ``amount`` of a charge, or all that is left of it."""
        left = charge["amount_captured"] - charge["amount_refunded"]
        if charge["status"] != "succeeded" or left == 0:
            raise StripeError("The charge has nothing left to refund.", param="charge", code="charge_already_refunded")
        given = left if amount is None else amount
        if given > left:
            raise StripeError("Refund amount is greater than what is left of the charge.", param="amount")
        identifier = self.objects.new_id("re")
        refund = shapes.refund(identifier, now=self.now, charge=charge, amount=given, reason=reason)
        refund = self.create(self.money.refunded(refund | {"metadata": metadata}, charge))
        total = charge["amount_refunded"] + given
        self.change(charge, "charge.refunded", amount_refunded=total, refunded=total == charge["amount_captured"])
        return refund

    def delete_customer(self, customer: Json) -> None:
        """Subscriptions end now; invoices and charges stay, as they must."""
        for subscription in self.objects.of_customer("subscription", customer["id"]):
            if subscription["status"] not in ("canceled", "incomplete_expired"):
                self.cancel(subscription)
        self.delete(self._fresh(customer))


def _interval(price: Json) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _boundary(price: Json, *, anchor: int, after: int) -> int:
    interval, count = _interval(price)
    return billing.next_boundary(anchor, interval=interval, count=count, after=after)
