"""Billing arithmetic, free of state: periods, proration, discounts, dunning, and when an object next falls due.

Times are Unix seconds in UTC; amounts are integers in minor units of the currency. Money is rounded half away from
zero, as Stripe does.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from demo.sandbox.store import Json

DAY = 86_400
TRIAL_NOTICE = 3 * DAY
INCOMPLETE_EXPIRES = 23 * 3600
# A failed renewal is tried again after 3, 8 and 14 days: four tries over two weeks.
RETRY_AFTER = (3 * DAY, 5 * DAY, 6 * DAY)
INTERVALS = ("day", "week", "month", "year")


def add_months(moment: int, months: int) -> int:
    """The same day and time ``months`` later, or that month's last day: 31 January + 1 month is 28 (29) February."""
    start = datetime.fromtimestamp(moment, UTC)
    month = start.year * 12 + start.month - 1 + months
    year, month = divmod(month, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def next_boundary(anchor: int, *, interval: str, count: int, after: int) -> int:
    """The first end of a period later than ``after``, counted from ``anchor`` so that short months do not stick."""
    if interval in ("day", "week"):
        step = count * DAY * (7 if interval == "week" else 1)
        return anchor + max(1, (after - anchor) // step + 1) * step
    step = count * (12 if interval == "year" else 1)
    begin, end = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(after, UTC)
    passed = (end.year - begin.year) * 12 + end.month - begin.month
    periods = max(1, passed // step)
    while (boundary := add_months(anchor, periods * step)) <= after:
        periods += 1
    return boundary


def round_money(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def percentage(amount: int, percent: str) -> int:
    return round_money(Decimal(amount) * Decimal(percent) / 100)


def prorate(amount: int, *, start: int, end: int, at: int) -> int:
    """The part of a period's ``amount`` that the time from ``at`` to ``end`` is worth, to the second."""
    return round_money(Decimal(amount) * (end - at) / (end - start))


@dataclass(frozen=True)
class Discounts:
    """``by_line[i]``: (discount id, amount) of line i; ``total``: discount id → amount, where it is above zero."""

    by_line: list[list[tuple[str, int]]]
    total: dict[str, int]


def discount(amounts: Sequence[int], coupons: Sequence[tuple[str, Json]]) -> Discounts:
    """What the (discount id, coupon) pairs take off lines of ``amounts``, one after the other.

    A percentage takes its part of what is left of each line, credits included; an amount is taken off once per invoice,
    from the first charges on, and never more than there is.
    """
    left = list(amounts)
    by_line: list[list[tuple[str, int]]] = [[] for _ in amounts]
    for identifier, coupon in coupons:
        budget = coupon["amount_off"]
        for index, amount in enumerate(left):
            if coupon["percent_off"] is not None:
                off = round_money(Decimal(amount) * Decimal(str(coupon["percent_off"])) / 100)
            else:
                off = min(max(amount, 0), budget)
                budget -= off
            left[index] -= off
            if off:
                by_line[index].append((identifier, off))
    total: dict[str, int] = {}
    for line in by_line:
        for identifier, off in line:
            total[identifier] = total.get(identifier, 0) + off
    return Discounts(by_line=by_line, total=total)


def next_attempt(failed: int, *, now: int) -> int | None:
    """When a payment that failed ``failed`` times is tried again; None when it was the last try."""
    return now + RETRY_AFTER[failed - 1] if failed <= len(RETRY_AFTER) else None


def period(subscription: Json) -> tuple[int, int]:
    """Start and end of the current period; all items of a subscription share it."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def next_due(kind: str, item: Json, *, now: int) -> int | None:
    """When time alone will next change ``item``, as seen from ``now``; None if it never will."""
    if kind == "discount":
        return item["end"]
    if kind == "invoice":
        return item["next_payment_attempt"] if item["status"] == "open" else None
    if kind == "balance_transaction":
        return item["available_on"] if item["status"] == "pending" else None
    if kind == "payout":
        return item["arrival_date"] if item["status"] == "in_transit" else None
    if kind == "dispute":
        return item["evidence_details"]["due_by"] if item["status"] in ("needs_response", "under_review") else None
    if kind == "subscription_schedule":
        return item["current_phase"]["end_date"] if item["status"] == "active" else None
    if kind == "payout_run":
        return item["next"]
    if kind != "subscription" or item["status"] in ("canceled", "incomplete_expired"):
        return None
    if item["status"] == "incomplete":
        return item["created"] + INCOMPLETE_EXPIRES
    end = period(item)[1]
    notice = end - TRIAL_NOTICE
    moments = [notice if item["status"] == "trialing" and notice > now else end]
    if item["cancel_at"] is not None:
        moments.append(item["cancel_at"])
    if item["pause_collection"] is not None and item["pause_collection"]["resumes_at"] is not None:
        moments.append(item["pause_collection"]["resumes_at"])
    return min(moments)
