"""The company's book of customers and subscriptions, and its MRR by its own arithmetic.

The book knows what was agreed and predicts what follows (the ends of trials and of periods, renewals that fail, the end
of dunning); it never asks Stripe for a status or an amount. Instants are Unix seconds, amounts minor units.
"""

from __future__ import annotations

import calendar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Literal

Interval = Literal["month", "year"]
# Seat prices a month; a year costs ten months. The assistant is an add-on at a price a pack, by the month only.
MONTHLY_PRICES = {
    "starter": {"usd": 1200, "eur": 1100, "gbp": 950},
    "growth": {"usd": 2900, "eur": 2700, "gbp": 2350},
    "enterprise": {"usd": 5900, "eur": 5500, "gbp": 4800},
    "assistant": {"usd": 9900, "eur": 9200, "gbp": 7900},
}
PLANS = ("starter", "growth", "enterprise")
DAY = 86_400
# Stripe tries a failed payment again for two weeks, then gives the subscription up (unpaid or canceled: no MRR).
DUNNING_SECONDS = 14 * DAY


@dataclass(frozen=True)
class Coupon:
    """``off`` is percent, or minor units of ``currency`` when that is set."""

    off: int
    duration: Literal["once", "repeating", "forever"]
    months: int | None = None
    currency: str | None = None


COUPONS = {
    "welcome-20": Coupon(20, "once"),
    "quarter-25": Coupon(25, "repeating", months=3),
    "partner-10": Coupon(10, "forever"),
    **{f"loyal-5000-{currency}": Coupon(5000, "forever", currency=currency) for currency in ("usd", "eur", "gbp")},
}


def unit_price(product: str, currency: str, interval: Interval) -> int:
    """List price of one seat (or pack) an interval, in minor units."""
    return MONTHLY_PRICES[product][currency] * (10 if interval == "year" else 1)


@dataclass
class Subscription:
    """``id`` and ``item`` are Stripe's names for it; all else is what the company did and expects."""

    product: str
    interval: Interval
    quantity: int
    anchor: int  # where the billing periods begin to count
    id: str = ""
    item: str = ""
    coupon: str | None = None
    state: Literal["trialing", "live", "ended"] = "live"
    paused: bool = False
    trial_end: int | None = None
    cancel_at: int | None = None
    failing_since: int | None = None

    def pass_time(self, *, since: int, until: int, card_works: bool) -> None:
        """What happens by itself after ``since`` and not after ``until``."""
        if self.state == "trialing" and self.trial_end is not None and self.trial_end <= until:
            self.state = "live"
        if self.state != "live":
            return
        if self.cancel_at is not None and self.cancel_at <= until:
            self.state = "ended"
        elif not card_works and self.failing_since is None and not self.paused:
            renewal = next_period(self.anchor, self.interval, since)
            if renewal <= until:
                self.failing_since = renewal
        if self.failing_since is not None and self.failing_since + DUNNING_SECONDS <= until:
            self.state = "ended"

    def mrr(self, currency: str) -> Decimal:
        """Monthly recurring revenue in minor units, half up to 4 decimals; nothing while on trial or paused.

        Coupons that end (once, repeating) do not lower it: what recurs is the price after them.
        """
        if self.state != "live" or self.paused:
            return Decimal("0.0000")
        months = 12 if self.interval == "year" else 1
        gross = Fraction(unit_price(self.product, currency, self.interval) * self.quantity, months)
        coupon = COUPONS[self.coupon] if self.coupon else None
        if coupon is None or coupon.duration != "forever":
            net = gross
        elif coupon.currency is None:
            net = gross * Fraction(100 - coupon.off, 100)
        else:
            net = max(gross - Fraction(coupon.off, months), Fraction(0))
        scaled = Decimal(net.numerator * 10_000) / Decimal(net.denominator)
        return scaled.quantize(Decimal(1), rounding=ROUND_HALF_UP).scaleb(-4)


@dataclass
class Account:
    """A customer; ``tenant_id`` and ``region`` are None for one that nobody ties to a tenant."""

    key: str
    currency: str
    tenant_id: str | None
    region: str | None
    plan: str
    seats: int
    id: str = ""
    card_works: bool = True
    churned_on: int | None = None  # the day, counted from the company's first
    subscriptions: list[Subscription] = field(default_factory=list)

    @property
    def main(self) -> Subscription | None:
        """The newest subscription to a plan, if there ever was one."""
        plans = [each for each in self.subscriptions if each.product in PLANS]
        return plans[-1] if plans else None

    @property
    def status(self) -> str:
        """trial, active or churned, as the product calls it."""
        if self.main is None or self.main.state == "ended":
            return "churned"
        return "trial" if self.main.state == "trialing" else "active"

    @property
    def mrr(self) -> Decimal:
        """Sum over subscriptions, each rounded by itself; minor units of the account's currency, 4 decimals."""
        return sum((each.mrr(self.currency) for each in self.subscriptions), Decimal("0.0000"))

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Account:
        subscriptions = [Subscription(**each) for each in document["subscriptions"]]
        return cls(**{**document, "subscriptions": subscriptions})


def next_period(anchor: int, interval: Interval, after: int) -> int:
    """The first period boundary after an instant: whole months from the anchor, its day clamped to the month's end."""
    begin = datetime.fromtimestamp(anchor, UTC)
    step = 12 if interval == "year" else 1
    count = 0
    while True:
        count += step
        month0 = begin.month - 1 + count
        year, month = begin.year + month0 // 12, month0 % 12 + 1
        day = min(begin.day, calendar.monthrange(year, month)[1])
        boundary = int(begin.replace(year=year, month=month, day=day).timestamp())
        if boundary > after:
            return boundary
