"""Random subscription histories, and what their MRR is, computed apart from the SQL: exact fractions, day by day."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

DAYS = 90
START = datetime(2026, 1, 1, tzinfo=UTC)
PERIODS_PER_YEAR = {"month": 12, "year": 1, "week": 52, "day": 365}
EARNING = {"active", "past_due"}


@dataclass(frozen=True)
class Movement:
    customer: str
    currency: str
    day: date
    kind: str
    before: Decimal
    after: Decimal


@dataclass(kw_only=True)
class Subscription:
    """A subscription as Stripe shows it, with the members that MRR depends on."""

    id: str
    customer: str
    currency: str
    status: str
    items: list[dict[str, Any]]
    discounts: list[str] = field(default_factory=list)
    pause_collection: dict[str, str] | None = None

    def as_stripe_shows_it(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "subscription",
            "customer": self.customer,
            "currency": self.currency,
            "status": self.status,
            "items": {
                "object": "list",
                "data": [
                    {
                        "quantity": item["quantity"],
                        "price": {
                            "id": f"price_{item['unit_amount']}",
                            "unit_amount": item["unit_amount"],
                            "recurring": {"interval": item["interval"], "interval_count": item["interval_count"]},
                        },
                    }
                    for item in self.items
                ],
            },
            "discounts": list(self.discounts),
            "pause_collection": self.pause_collection,
        }


@dataclass
class History:
    """What happened, as events in order; and the coupons and discounts that they speak of."""

    events: list[dict[str, Any]] = field(default_factory=list)
    coupons: dict[str, dict[str, Any]] = field(default_factory=dict)
    discounts: dict[str, str] = field(default_factory=dict)
    """discount → coupon"""


def random_history(seed: int, customers: int) -> History:
    """Customers with one to three subscriptions each, of every status, interval, coupon and currency."""
    rng = random.Random(seed)
    history = History(coupons={coupon["id"]: coupon for coupon in _coupons(seed)})
    for number in range(customers):
        for subscription in range(rng.randint(1, 3)):
            _live(rng, history, customer=f"cus_{seed}_{number}", name=f"sub_{seed}_{number}_{subscription}")
    return history


def movements(history: History) -> set[Movement]:
    """The movements that the history amounts to."""
    last_of_day: dict[date, dict[str, dict[str, Any]]] = defaultdict(dict)
    """day → subscription → its last event"""
    for event in history.events:
        day = datetime.fromtimestamp(event["created"], UTC).date()
        last_of_day[day][event["object"]["id"]] = event
    worth: dict[tuple[str, str], dict[str, tuple[Decimal, Decimal]]] = defaultdict(dict)
    """customer and currency → subscription → MRR, and MRR if it were not paused"""
    last_positive: dict[tuple[str, str], Decimal] = {}
    found = set()
    for day in sorted(last_of_day):
        before = {key: _total(subscriptions) for key, subscriptions in worth.items()}
        for subscription, event in last_of_day[day].items():
            state, gone = event["object"], event["type"] == "customer.subscription.deleted"
            running = {**state, "pause_collection": None}
            figures = (mrr(state, history), mrr(running, history) if state["pause_collection"] else Decimal(0))
            worth[state["customer"], state["currency"]][subscription] = (Decimal(0), Decimal(0)) if gone else figures
        for key, subscriptions in worth.items():
            (then, paused_then), (now, paused_now) = before.get(key, (Decimal(0), Decimal(0))), _total(subscriptions)
            last = last_positive.get(key)
            if then != now:
                kind = _kind(then, now, last is not None, was_paused=paused_then > 0, is_paused=paused_now > 0)
                found.add(Movement(*key, day, kind, then, now))
            elif now == 0 and paused_then > 0 and paused_now == 0 and last is not None:
                found.add(Movement(*key, day, "resumed", now, last))
                found.add(Movement(*key, day, "churn", last, now))
            if now > 0:
                last_positive[key] = now
    return found


def _total(subscriptions: dict[str, tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal]:
    return (
        sum((running for running, _ in subscriptions.values()), Decimal(0)),
        sum((paused for _, paused in subscriptions.values()), Decimal(0)),
    )


def mrr(state: dict[str, Any], history: History) -> Decimal:
    """Monthly value of a subscription net of its forever coupons, in minor units, four decimals, half up."""
    if state["status"] not in EARNING or state["pause_collection"] is not None:
        return Decimal(0)
    items = state["items"]["data"]
    billed = [(item["price"]["unit_amount"] * item["quantity"], item["price"]["recurring"]) for item in items]
    total = sum((_monthly(amount, recurring) for amount, recurring in billed), Fraction(0))
    for discount in state["discounts"]:
        coupon = history.coupons[history.discounts[discount]]
        if coupon["duration"] != "forever":
            continue
        if coupon["amount_off"] is not None:
            total = max(Fraction(0), total - _monthly(coupon["amount_off"], billed[0][1]))
        else:
            total *= 1 - Fraction(coupon["percent_off"]) / 100
    scaled = total * 10_000 + Fraction(1, 2)
    return Decimal(scaled.numerator // scaled.denominator) / 10_000


def _monthly(amount: int, recurring: dict[str, Any]) -> Fraction:
    return Fraction(amount * PERIODS_PER_YEAR[recurring["interval"]], 12 * recurring["interval_count"])


def _kind(before: Decimal, after: Decimal, ever_positive: bool, *, was_paused: bool, is_paused: bool) -> str:
    if before == 0:
        return ("resumed" if was_paused else "reactivation") if ever_positive else "new"
    if after == 0:
        return "paused" if is_paused else "churn"
    return "expansion" if after > before else "contraction"


def _coupons(seed: int) -> Iterator[dict[str, Any]]:
    terms: Iterable[tuple[str, str | None, int | None]] = [
        ("forever", "25", None),
        ("forever", "33.33", None),
        ("forever", "99.94", None),
        ("forever", None, 500),
        ("forever", None, 10_000_000),
        ("once", "50", None),
        ("repeating", None, 700),
    ]
    for number, (duration, percent, amount) in enumerate(terms):
        yield {"id": f"coupon_{seed}_{number}", "duration": duration, "percent_off": percent, "amount_off": amount}


def _live(rng: random.Random, history: History, *, customer: str, name: str) -> None:
    subscription = Subscription(
        id=name,
        customer=customer,
        currency=rng.choice(["usd", "usd", "eur"]),
        status=rng.choice(["active", "trialing", "incomplete"]),
        items=[_item(rng) for _ in range(rng.choice([1, 1, 1, 2]))],
    )
    second = rng.randrange(DAYS * 86_400)
    _tell(history, "created", subscription, second)
    for _ in range(rng.randint(0, 12)):
        second += rng.choice([0, 60, 3_600, 86_400, 20 * 86_400]) + rng.randrange(3_600) + 1
        if second >= DAYS * 86_400:
            return
        _change(rng, history, subscription)
        _tell(history, "updated", subscription, second)
    if rng.random() < 0.4:
        subscription.status = "canceled"
        # Within the second of the last change at times, as when Stripe gives up and cancels at once.
        _tell(history, "deleted", subscription, second + rng.choice([0, 1]))


def _tell(history: History, what: str, subscription: Subscription, second: int) -> None:
    noise = random.Random(f"{subscription.id} {len(history.events)}").getrandbits(64)  # ids say nothing of order
    history.events.append(
        {
            "id": f"evt_{noise:016x}",
            "type": f"customer.subscription.{what}",
            "created": int(START.timestamp()) + second,
            "object": subscription.as_stripe_shows_it(),
        }
    )


def _change(rng: random.Random, history: History, subscription: Subscription) -> None:
    match rng.choice(["quantity", "price", "item", "status", "status", "discount", "discount", "pause", "nothing"]):
        case "quantity":
            rng.choice(subscription.items)["quantity"] = rng.randint(0, 40)
        case "price":
            subscription.items[0] = _item(rng)
        case "item":
            subscription.items = [_item(rng) for _ in range(rng.randint(1, 3))]
        case "status":
            subscription.status = rng.choice(
                ["active", "active", "active", "past_due", "unpaid", "trialing", "canceled"]
            )
        case "discount":
            if subscription.discounts and rng.random() < 0.4:
                subscription.discounts.pop(0)
            else:
                discount = f"di_{subscription.id}_{len(history.discounts)}"
                history.discounts[discount] = rng.choice(sorted(history.coupons))
                subscription.discounts.append(discount)
        case "pause":
            paused = subscription.pause_collection is not None
            subscription.pause_collection = None if paused else {"behavior": "void"}


def _item(rng: random.Random) -> dict[str, Any]:
    return {
        "unit_amount": rng.choice([0, 1, 999, 4_900, 10_001, 25_000, 1_234_567]),
        "quantity": rng.randint(1, 25),
        "interval": rng.choice(["month", "month", "year", "week", "day"]),
        "interval_count": rng.choice([1, 1, 1, 2, 3, 7]),
    }
