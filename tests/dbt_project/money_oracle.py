"""Random invoices, credit notes and payments, and what they earn day by day, computed apart from the SQL."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.dbt_project.mrr_oracle import START

Row = dict[str, Any]
Balance = tuple[int, int, int, int, int]
"""opening, billed, credited, recognised, closing"""


@dataclass(frozen=True)
class Entry:
    """Cents that are booked on a day, of either sign, for the days of service from ``start`` to before ``end``."""

    customer: str
    currency: str
    billed: bool
    amount: int
    booked: date
    start: date
    end: date

    def recognised(self, day: date) -> int:
        """Cents that are revenue by the end of a day: half a cent goes away from zero."""
        if day < self.booked:
            return 0
        days = max((self.end - self.start).days, 1)
        passed = min(max((day - self.start).days + 1, 0), days)
        exact = Fraction(abs(self.amount) * passed, days) + Fraction(1, 2)
        return (exact.numerator // exact.denominator) * (1 if self.amount > 0 else -1)


@dataclass
class Books:
    """Rows as they land, by table, and the entries that they amount to."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    entries: list[Entry] = field(default_factory=list)


def random_books(seed: int, customers: Sequence[str]) -> Books:
    """A few invoices a customer, some voided or credited, their charges, refunds and disputes, balanced."""
    rng, books = random.Random(seed), Books()
    _meter(books, customers[0])
    for customer in customers:
        for number in range(rng.randint(1, 3)):
            _invoice(rng, books, customer, f"in_{customer}_{number}")
    return books


METERED = {0: 1_000.0, 10: 17.0, 40: 3.0}
"""day of the history → calls that the first customer made, at an eightieth of a cent each"""


def _meter(books: Books, customer: str) -> None:
    recurring = {"interval": "month", "interval_count": 1, "meter": "mtr_calls", "usage_type": "metered"}
    item = {"price": {"id": "price_calls", "unit_amount": None, "recurring": recurring}}
    subscription = {"id": "sub_metered", "customer": customer, "currency": "usd", "status": "active"}
    subscription |= {"items": {"data": [item]}, "discounts": []}
    event = {"id": "evt_metered", "type": "customer.subscription.created", "created": int(START.timestamp())}
    books.tables["events"].append(event | {"data": json.dumps({"object": subscription})})
    price = {"id": "price_calls", "unit_amount_decimal": "0.0125", "recurring": json.dumps(recurring)}
    books.tables["prices"].append(price)
    books.tables["meters"].append({"id": "mtr_calls", "default_aggregation": json.dumps({"formula": "sum"})})
    for day, calls in METERED.items():
        begin = int((START + timedelta(days=day)).timestamp())
        summary = {"id": f"mtr_calls/{customer}/{begin}", "meter": "mtr_calls", "customer": customer}
        summary |= {"aggregated_value": calls, "start_time": begin, "end_time": begin + 86_400}
        books.tables["meter_event_summaries"].append(summary)


def balances(books: Books, until: date) -> dict[tuple[str, str, date], Balance]:
    """What fct_deferred_revenue_daily must say: by customer, currency and day."""
    by_customer: Mapping[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in books.entries:
        by_customer[entry.customer, entry.currency].append(entry)
    found = {}
    for (customer, currency), entries in by_customer.items():
        day, closing = min(entry.booked for entry in entries), 0
        while day <= until:
            booked = [entry for entry in entries if entry.booked == day]
            billed = sum(entry.amount for entry in booked if entry.billed)
            credited = -sum(entry.amount for entry in booked if not entry.billed)
            before = day - timedelta(days=1)
            recognised = sum(entry.recognised(day) - entry.recognised(before) for entry in entries)
            opening, closing = closing, closing + billed - credited - recognised
            if any((opening, billed, credited, recognised, closing)):
                found[customer, currency, day] = (opening, billed, credited, recognised, closing)
            day += timedelta(days=1)
    return found


def _invoice(rng: random.Random, books: Books, customer: str, name: str) -> None:
    currency = rng.choice(["usd", "eur"])
    finalized = START + timedelta(days=rng.randrange(60), seconds=rng.randrange(86_400))
    lines = [_line(rng, name, number, finalized) for number in range(rng.randint(1, 3))]
    nets = [line["amount"] - sum(each["amount"] for each in json.loads(line["discount_amounts"])) for line in lines]
    total = sum(nets)
    taken_back = []  # (cents, when) of the whole invoice
    status, transitions = "paid", {"finalized_at": int(finalized.timestamp())}
    if rng.random() < 0.2:
        status, voided = "void", finalized + timedelta(days=rng.randrange(1, 20))
        transitions["voided_at"] = int(voided.timestamp())
        taken_back.append((total, voided))
    elif total > 0 and rng.random() < 0.5:
        credited, at = rng.randint(1, total), finalized + timedelta(days=rng.randrange(1, 20))
        note = {"id": f"cn_{name}", "invoice": name, "customer": customer, "currency": currency, "status": "issued"}
        note |= {"total": credited, "type": "post_payment", "created": int(at.timestamp()), "voided_at": None}
        if rng.random() < 0.3:
            undone = at + timedelta(days=rng.randrange(1, 9))
            note |= {"status": "void", "voided_at": int(undone.timestamp())}
            taken_back.append((-credited, undone))
        taken_back.insert(0, (credited, at))
        books.tables["credit_notes"].append(note)
    paid = max(total, 0) if status == "paid" else 0
    if paid:
        transitions["paid_at"] = transitions["finalized_at"] + rng.choice([0, 20, 45]) * 86_400
        _payment(rng, books, customer, currency, paid, name, transitions["paid_at"])
    books.tables["invoices"].append(
        {"id": name, "customer": customer, "currency": currency, "status": status, "total": total, "subtotal": total}
        | {"amount_due": max(total, 0), "amount_paid": paid, "amount_remaining": 0}
        | {"status_transitions": json.dumps(transitions), "created": int(finalized.timestamp())}
    )
    for line in lines:
        books.tables["invoice_line_items"].append(line | {"invoice": name, "currency": currency})
    _enter(books, customer, currency, lines, nets, finalized, taken_back)


def _enter(
    books: Books,
    customer: str,
    currency: str,
    lines: Sequence[Row],
    nets: Sequence[int],
    finalized: datetime,
    taken_back: Sequence[tuple[int, datetime]],
) -> None:
    total, running = sum(nets), 0
    for line, net in zip(lines, nets, strict=True):
        period = json.loads(line["period"])
        start, end = (datetime.fromtimestamp(period[side], UTC).date() for side in ("start", "end"))
        books.entries.append(Entry(customer, currency, True, net, finalized.date(), start, end))
        for amount, at in taken_back:
            share = net if amount == total else _part(amount, running + net, total) - _part(amount, running, total)
            books.entries.append(Entry(customer, currency, False, -share, at.date(), start, end))
        running += net


def _part(amount: int, part: int, total: int) -> int:
    exact = Fraction(abs(amount * part), total) + Fraction(1, 2)
    return (exact.numerator // exact.denominator) * (1 if amount * part > 0 else -1)


def _line(rng: random.Random, invoice: str, number: int, finalized: datetime) -> Row:
    start = finalized + timedelta(days=rng.choice([0, 0, 0, -40, -3, 5]))
    amount = rng.choice([2_900, 10_001, 36_500, 7])
    discounts = [{"amount": amount // 3, "discount": "di"}] if rng.random() < 0.3 else []
    if number and rng.random() < 0.4:
        amount, discounts = -rng.randint(1, 5), []  # a proration gives back
    period = {
        "start": int(start.timestamp()),
        "end": int((start + timedelta(days=rng.choice([0, 30, 365]))).timestamp()),
    }
    return {"id": f"il_{invoice}_{number}", "amount": amount, "subtotal": amount, "quantity": 1} | {
        "discount_amounts": json.dumps(discounts),
        "period": json.dumps(period),
    }


def _payment(rng: random.Random, books: Books, customer: str, currency: str, amount: int, name: str, at: int) -> None:
    charge = f"ch_{name}"
    refunded = rng.randint(1, amount) if rng.random() < 0.3 else 0
    books.tables["charges"].append(
        {"id": charge, "customer": customer, "currency": currency, "amount": amount, "amount_captured": amount}
        | {"amount_refunded": refunded, "status": "succeeded", "paid": True, "captured": True, "created": at}
    )
    moves = [(charge, "charge", amount)]
    if refunded:
        refund = {"id": f"re_{name}", "charge": charge, "currency": currency, "amount": refunded}
        books.tables["refunds"].append(refund | {"status": "succeeded", "created": at + 3_600})
        moves.append((f"re_{name}", "refund", -refunded))
    elif rng.random() < 0.3:
        outcome = rng.choice(["won", "lost", "needs_response"])
        dispute = {"id": f"dp_{name}", "charge": charge, "currency": currency, "amount": amount, "status": outcome}
        books.tables["disputes"].append(dispute | {"created": at + 3_600})
        moves += [(f"dp_{name}", "adjustment", -amount), *([(f"dp_{name}", "adjustment", amount)] * (outcome == "won"))]
    for number, (source, kind, moved) in enumerate(moves):
        entry = {"id": f"txn_{name}_{number}", "source": source, "type": kind, "amount": moved, "net": moved, "fee": 0}
        books.tables["balance_transactions"].append(entry | {"currency": currency, "created": at})
