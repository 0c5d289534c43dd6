"""From the company's headline figures of a month down to the Stripe events behind each customer's part of them.

A customer's MRR is converted to the reporting currency as one amount. What falls to an item of it is what the items up
to this one convert to, less what those before it do, so that items add up to the customer and customers to the company.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

import duckdb

from quality.explain_money import mrr_basis
from quality.explanation import Explanation, Row, the_figure
from settings import TailraceError
from warehouse import quote

COMPANY = "fct_saas_metrics_monthly"
_NOTHING = Decimal(0)
_Key = tuple[str, str]
"""customer, currency"""
_Parts = list[tuple[Row, Decimal | int]]
"""items, and what each counts for"""


@dataclass(frozen=True)
class _Month:
    """``last``: the month's last day, or the reporting day."""

    connection: duckdb.DuckDBPyConnection
    first: date
    last: date

    def rows(self, query: str, *parameters: object) -> list[Row]:
        result = self.connection.execute(query, parameters)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    @cached_property
    def items(self) -> Mapping[_Key, list[Row]]:
        """Items of all time of customers who ever earned by the end of the month, oldest first."""
        found: dict[_Key, list[Row]] = defaultdict(list)
        for row in self.rows(
            f"""
            select
                items.customer_id, items.currency, items.event_id, items.valid_from, items.subscription_id,
                items.item_number, items.price_id, items.{quote(mrr_basis(self.connection))} as mrr, items.mrr_paused,
                items.cancel_requested_at is not null as is_leaving,
                cast(items.valid_from at time zone 'UTC' as date) as first_day,
                coalesce(cast(items.valid_to at time zone 'UTC' as date), date '9999-01-01') as until,
                earned.first_earned, events._airbyte_extracted_at as extracted_at
            from intermediate.int_subscription_item_periods as items
            inner join (
                select customer_id, currency, min(day) as first_earned from marts.fct_mrr_movements group by all
            ) as earned on items.customer_id = earned.customer_id and items.currency = earned.currency
            left join raw_stripe.events as events on items.event_id = events.id
            where cast(items.valid_from at time zone 'UTC' as date) <= ?
            order by items.valid_from, items.event_id, items.item_number
            """,  # noqa: S608
            self.last,
        ):
            found[row["customer_id"], row["currency"]].append(row)
        return found

    @cached_property
    def rates(self) -> Mapping[tuple[str, date], tuple[Decimal, Decimal]]:
        """(currency, month) → the rate of the month and that of the month before."""
        rates = self.rows("select currency, month, rate, rate_before from intermediate.int_fx_rates_monthly")
        return {(row["currency"], row["month"]): (row["rate"], row["rate_before"]) for row in rates}

    def rate(self, currency: str, day: date) -> Decimal:
        return self.rates[currency, day.replace(day=1)][0]

    def held(self, key: _Key, day: date) -> list[Row]:
        """Items in force when a day ended, of a customer who had earned by then."""
        return [row for row in self.items[key] if row["first_day"] <= day < row["until"] and row["first_earned"] <= day]

    def movements(self, kind: str) -> list[Row]:
        return self.rows(
            "select customer_id, currency, day, mrr_before, mrr_after from marts.fct_mrr_movements "
            "where movement_type = ? and day between ? and ? order by day, customer_id, currency",
            *(kind, self.first, self.last),
        )


def explain_company(connection: duckdb.DuckDBPyConnection, *, tenant: str, day: date, metric: str) -> Explanation:
    """Explain one figure of ``COMPANY``, in the reporting currency; ``day`` is any day of the month.

    Raises TailraceError for a metric that is not known, another tenant than ``all``, and a month that is not there.
    Rates are explained by what they are made of: the movements, MRR and customers of the month.
    """
    if tenant != "all":
        raise TailraceError(f"explain: {COMPANY} is of the whole company; give --tenant all")
    if metric not in METRICS:
        raise TailraceError(
            f"explain: {COMPANY} has no metric {metric} that rows add up to; known are {', '.join(METRICS)}"
        )
    first = day.replace(day=1)
    cell = the_figure(connection, f"select {quote(metric)} from marts.{COMPANY} where month = ?", [first])  # noqa: S608
    if cell is None:
        raise TailraceError(f"explain: {COMPANY} has no row of {first}: nothing was earned by then")
    stands_at = the_figure(connection, "select reporting_day from intermediate.int_reporting_day")
    month = _Month(connection, first, min((first + timedelta(days=31)).replace(day=1) - timedelta(days=1), stands_at))
    parts = [(item, amount) for item, amount in METRICS[metric](month) if amount]
    steps: list[tuple[str, Any]] = [(f"marts.{COMPANY}", cell)]
    if metric in _IN_MONTHS:
        query = f"select coalesce(sum({_IN_MONTHS[metric]}), 0) from marts.fct_mrr_monthly where month = ?"  # noqa: S608
        steps.append(("marts.fct_mrr_monthly", the_figure(connection, query, [first])))
    recounted = sum(amount for _, amount in parts)
    return Explanation(
        rollup=COMPANY,
        tenant=tenant,
        day=day,
        metric=metric,
        cell=cell,
        recounted=recounted,
        steps=[*steps, ("intermediate.int_subscription_item_periods", recounted)],
        rows=[_shown(item, amount) for item, amount in sorted(parts, key=lambda part: _order(part[0]))],
    )


def _order(item: Row) -> tuple[Any, ...]:
    return item["valid_from"], item["event_id"], item["item_number"]


def _shown(item: Row, amount: Decimal | int) -> Row:
    part = f"{item['customer_id']} {item['subscription_id']} item {item['item_number']}, {item['currency']}"
    return {
        "table": "events",
        "key": item["event_id"],
        "occurred_at": item["valid_from"],
        "part": part,
        "counts_for": amount,
        "lsn": None,
        "extracted_at": item["extracted_at"],
    }


# what is held


def _converted(items: Iterable[Row], rate: Decimal) -> _Parts:
    parts: _Parts = []
    so_far = worth = _NOTHING
    for item in items:
        so_far += item["mrr"]
        following = (so_far * rate).quantize(Decimal("0.0001"), ROUND_HALF_UP)
        parts.append((item, following - worth))
        worth = following
    return parts


def _mrr_at(month: _Month, day: date) -> _Parts:
    return [part for key in month.items for part in _converted(month.held(key, day), month.rate(key[1], day))]


def _mrr_start(month: _Month) -> _Parts:
    return _mrr_at(month, month.first - timedelta(days=1))


def _mrr_end(month: _Month) -> _Parts:
    return _mrr_at(month, month.last)


def _arr(month: _Month) -> _Parts:
    return [(item, 12 * amount) for item, amount in _mrr_end(month)]


def _contracted_arr(month: _Month) -> _Parts:
    """What is leaving is converted as an amount of its own, and taken off."""
    leaving = [
        (item, -12 * amount)
        for key in month.items
        for item, amount in _converted(
            [row for row in month.held(key, month.last) if row["is_leaving"]], month.rate(key[1], month.last)
        )
    ]
    return _netted([*_arr(month), *leaving])


# what moved


def _moved(kind: str) -> Callable[[_Month], _Parts]:
    def parts(month: _Month) -> _Parts:
        found: _Parts = []
        for row in month.movements(kind):
            key, rate = (row["customer_id"], row["currency"]), month.rate(row["currency"], row["day"])
            after = _making(month, key, row["day"], row["mrr_after"])
            before = _making(month, key, row["day"] - timedelta(days=1), row["mrr_before"])
            # What stays stands first on either side, so that it is worth the same on both.
            stays = [item for item in after if item in before]
            one, other = (
                _converted([*stays, *(item for item in items if item not in stays)], rate) for items in (after, before)
            )
            sign = 1 if row["mrr_after"] > row["mrr_before"] else -1
            found += _netted(
                [(item, sign * amount) for item, amount in one] + [(item, -sign * amount) for item, amount in other]
            )
        return found

    return parts


def _making(month: _Month, key: _Key, day: date, mrr: Decimal) -> list[Row]:
    """The items that made up a customer's MRR. Who leaves while paused leaves with what they last paid for."""
    if not mrr:
        return []
    while True:
        items = month.held(key, day)
        earlier = [row["first_day"] for row in month.items[key] if row["first_day"] <= day]
        if sum(item["mrr"] for item in items) == mrr or not earlier:
            return items
        day = max(earlier) - timedelta(days=1)


def _fx(month: _Month) -> _Parts:
    found: _Parts = []
    for row in month.movements("fx"):
        now, before = month.rates[row["currency"], month.first]
        items = month.held((row["customer_id"], row["currency"]), month.first - timedelta(days=1))
        found += _netted([*_converted(items, now), *((item, -amount) for item, amount in _converted(items, before))])
    return found


def _netted(parts: Sequence[tuple[Row, Decimal | int]]) -> _Parts:
    """One part an item."""
    sums: dict[tuple[Any, ...], Decimal | int] = defaultdict(int)
    for item, amount in parts:
        sums[_order(item)] += amount
    return [(item, sums[order]) for order, item in {_order(item): item for item, _ in parts}.items()]


# customers: each counts once, shown by the first of the items that make them one


def _customers(month: _Month, day: date, *, paused: bool = True) -> dict[str, Row]:
    held: dict[str, list[Row]] = defaultdict(list)
    for key in month.items:
        held[key[0]] += month.held(key, day)
    worth = {
        customer: sum((row["mrr"] + (row["mrr_paused"] if paused else 0) for row in rows), _NOTHING)
        for customer, rows in held.items()
    }
    return {customer: min(rows, key=_order) for customer, rows in held.items() if worth[customer] > 0}


def _counted(customers: Mapping[str, Row], *, without: Iterable[str] = ()) -> _Parts:
    return [(item, 1) for customer, item in customers.items() if customer not in set(without)]


def _at_start(month: _Month) -> dict[str, Row]:
    return _customers(month, month.first - timedelta(days=1))


def _at_end(month: _Month) -> dict[str, Row]:
    return _customers(month, month.last)


_MOVEMENTS = ("new", "reactivation", "resumed", "expansion", "contraction", "paused", "churn")
METRICS: Mapping[str, Callable[[_Month], _Parts]] = {
    "mrr_start": _mrr_start,
    **{f"mrr_{kind}": _moved(kind) for kind in _MOVEMENTS},
    "mrr_fx": _fx,
    "mrr_end": _mrr_end,
    "arr": _arr,
    "contracted_arr": _contracted_arr,
    "customers_start": lambda month: _counted(_at_start(month)),
    "customers_won": lambda month: _counted(_at_end(month), without=_at_start(month)),
    "customers_lost": lambda month: _counted(_at_start(month), without=_at_end(month)),
    "customers_end": lambda month: _counted(_at_end(month)),
    "customers_paying": lambda month: _counted(_customers(month, month.last, paused=False)),
}
_IN_MONTHS = {
    "arr": "12 * reporting_end",
    **{f"mrr_{kind}": f"reporting_{kind}" for kind in ("start", *_MOVEMENTS, "fx", "end")},
}
"""metric → what it is a sum of in fct_mrr_monthly, where it is one"""
