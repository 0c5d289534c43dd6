"""From a figure of a mart of money down to the landed records that made it: Stripe's events, invoices, payments.

A figure is of a tenant in one currency: what several customers of the tenant add up to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb

from quality.explanation import Explanation, Row, the_figure
from settings import TailraceError
from warehouse import quote


@dataclass(frozen=True)
class _Cell:
    """Whose figure is asked for. ``column`` is the metric."""

    connection: duckdb.DuckDBPyConnection
    tenant: str
    currency: str
    day: date
    column: str

    def rows(self, query: str, *parameters: object) -> list[Row]:
        result = self.connection.execute(query, [self.tenant, self.currency, *parameters])
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def figure(self, query: str, *parameters: object) -> Any:
        return the_figure(self.connection, query, parameters)


@dataclass(frozen=True)
class _Mart:
    """``time``: the column that a day is looked up in. ``step``: the table between the mart and raw."""

    time: str
    metrics: tuple[str, ...]
    rows: Callable[[_Cell], list[Row]]
    step: str


_BASES = ("mrr_list", "mrr_net_forever", "mrr_net_all")
_FLOWS = ("opening", "billed", "credited", "recognised", "closing")


def explain_money(
    connection: duckdb.DuckDBPyConnection,
    *,
    mart: str,
    tenant: str,
    day: date,
    metric: str,
    currency: str | None = None,
) -> Explanation:
    """Explain one figure of a mart in ``MARTS``; of a monthly mart, ``day`` is any day of the month.

    Raises TailraceError for a metric that is not known, a cell that is not there, and where the tenant has the figure
    in several currencies and none is named.
    """
    found = MARTS[mart]
    if metric not in found.metrics:
        raise TailraceError(
            f"explain: {mart} has no metric {metric} that rows add up to; known are {', '.join(found.metrics)}"
        )
    asked = day.replace(day=1) if found.time == "month" else day
    where = f"from marts.{quote(mart)} where tenant_id = ? and {found.time} = ?"
    held = connection.execute(f"select distinct currency {where} order by 1", [tenant, asked]).fetchall()
    currencies = [str(one) for (one,) in held]
    if currency is None and len(currencies) > 1:
        raise TailraceError(f"explain: the tenant has this figure in {' and '.join(currencies)}; give --currency")
    if not currencies or (currency is not None and currency not in currencies):
        raise TailraceError(f"explain: {mart} has no row of this tenant on {day}: nothing that still stands happened")
    cell = _Cell(connection, tenant, currency or currencies[0], day, metric)
    stands = cell.figure(f"select sum({quote(metric)}) {where} and currency = ?", tenant, asked, cell.currency)
    if stands is None:
        raise TailraceError(f"explain: {mart} has no figure there: what it is of has no known price")
    rows = found.rows(cell)
    recounted = sum(row["counts_for"] for row in rows)
    rows = [row for row in rows if row["counts_for"] != 0]
    rows.sort(key=lambda row: (str(row["occurred_at"]), row["table"], row["key"], str(row["part"])))
    return Explanation(
        rollup=mart,
        tenant=tenant,
        day=day,
        metric=metric,
        cell=stands,
        recounted=recounted,
        steps=[(f"marts.{mart}", stands), (found.step, recounted)],
        rows=rows,
    )


# recurring revenue


def _items(cell: _Cell, day: date, basis: str) -> list[Row]:
    """The items of subscriptions in force when a day ended, each with the event that put it in force."""
    return cell.rows(
        f"""
        select
            'events' as "table", items.event_id as key, items.valid_from as occurred_at,
            items.subscription_id || ' item ' || items.item_number || ', ' || coalesce(items.price_id, 'no price')
                as part,
            items.{quote(basis)} as counts_for, null as lsn, events._airbyte_extracted_at as extracted_at
        from intermediate.int_subscription_item_periods as items
        left join raw_stripe.events as events on items.event_id = events.id
        where
            items.tenant_id = ? and items.currency = ?
            and cast(items.valid_from at time zone 'UTC' as date) <= cast(? as date)
            and (cast(items.valid_to at time zone 'UTC' as date) > cast(? as date) or items.valid_to is null)
        """,  # noqa: S608
        day,
        day,
    )


def _basis(cell: _Cell, column: str) -> str:
    """The figure of an item that a column of a mart is the sum of; ``mrr`` is what var mrr_basis says."""
    named = column.removesuffix("_end")
    return named if named in (*_BASES, "mrr_paused") else mrr_basis(cell.connection)


def mrr_basis(connection: duckdb.DuckDBPyConnection) -> str:
    """What var mrr_basis was when the marts were built: one of the figures of an item."""
    query = "select max(definition) from intermediate.int_published_figures where figure = 'mrr_end'"
    return str(the_figure(connection, query) or "mrr_net_forever")


def _mrr_of_day(cell: _Cell) -> list[Row]:
    return _items(cell, cell.day, _basis(cell, cell.column))


def _mrr_moved(cell: _Cell) -> list[Row]:
    """What came into force on the day, and, below zero, what had been until then."""
    basis = _basis(cell, "mrr")
    now, before = (_items(cell, day, basis) for day in (cell.day, cell.day - timedelta(days=1)))
    same = [row for row in before if row in now]
    gone = [row | {"counts_for": -row["counts_for"]} for row in before if row not in same]
    return [row for row in now if row not in same] + gone


def _mrr_of_month(cell: _Cell) -> list[Row]:
    first, last = _month(cell)
    if cell.column == "mrr_start":
        return _items(cell, first - timedelta(days=1), _basis(cell, "mrr"))
    return _items(cell, last, _basis(cell, cell.column))


def _month(cell: _Cell) -> tuple[date, date]:
    """The first day of the month and its last, or the reporting day."""
    first = cell.day.replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return first, min(last, cell.figure("select reporting_day from intermediate.int_reporting_day"))


def _used(cell: _Cell) -> list[Row]:
    """What meters told of each day, at the price of the day. A row of the mart is rounded once, so what falls to a day
    is what the month is worth up to it, less what it was worth before.
    """
    days = cell.rows(
        """
        with priced as (
            select
                told.id as key, told.customer, told.meter, told.start_time as occurred_at,
                told.day,
                items.price_id, meters.formula, cast(told.aggregated_value as decimal(28, 6)) as quantity,
                told._extracted_at as extracted_at,
                rank() over (
                    partition by items.subscription_id, told.meter, told.day order by items.valid_from desc
                ) as place
            from (
                select *, cast(start_time at time zone 'UTC' as date) as day
                from staging.stg_stripe__meter_event_summaries
            ) as told
            inner join intermediate.int_subscription_item_periods as items
                on
                    told.customer = items.customer_id
                    and told.day >= cast(items.valid_from at time zone 'UTC' as date)
                    and (told.day <= cast(items.valid_to at time zone 'UTC' as date) or items.valid_to is null)
            inner join staging.stg_stripe__prices as prices
                on items.price_id = prices.id and prices.recurring ->> 'meter' = told.meter
            left join staging.stg_stripe__meters as meters on told.meter = meters.id
            where not told.is_deleted and items.is_metered and items.is_counted
        )
        select
            'meter_event_summaries' as "table", priced.key, priced.occurred_at,
            priced.price_id as part, priced.quantity, coalesce(priced.formula, 'sum') as formula, worth.unit_price,
            worth.customer_id || worth.price_id as of_row, null as lsn, priced.extracted_at
        from priced
        inner join marts.fct_usage_mrr_monthly as worth
            on
                priced.customer = worth.customer_id and priced.price_id = worth.price_id
                and priced.meter = worth.meter
                and cast(date_trunc('month', priced.day) as date) = worth.month
        where priced.place = 1 and worth.tenant_id = ? and worth.currency = ? and worth.month = ?
        order by of_row, priced.occurred_at, priced.key
        """,
        cell.day.replace(day=1),
    )
    so_far: dict[str, Decimal] = {}
    names = ("table", "key", "occurred_at", "part", "lsn", "extracted_at")
    rows = []
    for row in days:
        before = so_far.get(row["of_row"], Decimal(0))
        now = row["quantity"] + (before if row["formula"] != "last" else 0)
        so_far[row["of_row"]] = now
        price = row["unit_price"] or Decimal(0)  # in tiers: of no known worth, as the cell is
        counts_for = _to_four_places(now * price) - _to_four_places(before * price)
        rows.append({**{name: row[name] for name in names}, "counts_for": counts_for})
    return rows


def _to_four_places(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.0001"), ROUND_HALF_UP)


# deferred revenue


def _entries_of_day(cell: _Cell) -> list[Row]:
    return _entries(cell, cell.day, cell.day)


def _entries_of_month(cell: _Cell) -> list[Row]:
    return _entries(cell, *_month(cell))


def _entries(cell: _Cell, first: date, last: date) -> list[Row]:
    """Lines and credit notes, with what each counts for in the figure of the days from the first to the last."""
    entries = cell.rows(
        """
        select
            case when entries.kind in ('billed', 'voided') then 'invoice_line_items' else 'credit_notes' end as "table",
            entries.document_id as key, entries.booked_on as occurred_at,
            entries.kind || ', ' || entries.invoice_id || ' ' || entries.line_id as part,
            entries.kind, entries.amount, entries.booked_on, entries.service_start, entries.service_days, null as lsn,
            coalesce(lines._airbyte_extracted_at, notes._airbyte_extracted_at) as extracted_at
        from intermediate.int_revenue_entries as entries
        left join raw_stripe.invoice_line_items as lines on entries.document_id = lines.id
        left join raw_stripe.credit_notes as notes on entries.document_id = notes.id
        where entries.tenant_id = ? and entries.currency = ? and entries.booked_on <= cast(? as date)
        """,
        last,
    )
    names = ("table", "key", "occurred_at", "part", "lsn", "extracted_at")
    return [
        {**{name: row[name] for name in names}, "counts_for": _counts_for(row, cell.column, first, last)}
        for row in entries
    ]


def _counts_for(entry: Row, column: str, first: date, last: date) -> int:
    booked, amount, before = entry["booked_on"] >= first, int(entry["amount"]), first - timedelta(days=1)
    match column:
        case "billed":
            return amount if booked and entry["kind"] == "billed" else 0
        case "credited":
            return -amount if booked and entry["kind"] != "billed" else 0
        case "recognised":
            return _recognised(entry, last) - _recognised(entry, before)
        case "opening":
            return 0 if booked else amount - _recognised(entry, before)
    return amount - _recognised(entry, last)


def _recognised(entry: Row, day: date) -> int:
    """Cents of an entry that are revenue by the end of a day: straight line, half a cent away from zero."""
    if day < entry["booked_on"]:
        return 0
    amount, days = int(entry["amount"]), int(entry["service_days"])
    passed = min(max((day - entry["service_start"]).days + 1, 0), days)
    return (1 if amount > 0 else -1) * ((2 * abs(amount) * passed + days) // (2 * days))


# invoices and payments


def _invoices(cell: _Cell) -> list[Row]:
    return cell.rows(
        """
        with asked as (select ? as tenant_id, ? as currency, cast(? as date) as day)
        select
            'invoices' as "table", owed.invoice_id as key, owed.finalized_on as occurred_at,
            'due ' || owed.due_on as part,
            case
                when owed.paid_on is null and owed.given_up_on is null and today.reporting_day = asked.day
                    then owed.amount_remaining
                else owed.amount_due
            end as counts_for,
            null as lsn, invoices._airbyte_extracted_at as extracted_at
        from marts.fct_invoices as owed
        inner join asked on owed.tenant_id = asked.tenant_id and owed.currency = asked.currency
        cross join intermediate.int_reporting_day as today
        left join raw_stripe.invoices as invoices on owed.invoice_id = invoices.id
        where
            owed.finalized_on <= asked.day
            and (owed.paid_on > asked.day or owed.paid_on is null)
            and (owed.given_up_on > asked.day or owed.given_up_on is null)
        """,
        cell.day,
    )


def _payments(cell: _Cell) -> list[Row]:
    return cell.rows(
        """
        select
            case paid.kind when 'charge' then 'charges' when 'refund' then 'refunds' else 'disputes' end as "table",
            paid.payment_id as key, paid.occurred_at, paid.kind as part,
            case when paid.is_settled then paid.amount else 0 end as counts_for, null as lsn,
            coalesce(charges._airbyte_extracted_at, refunds._airbyte_extracted_at, disputes._airbyte_extracted_at)
                as extracted_at
        from intermediate.int_payments as paid
        left join raw_stripe.charges as charges on paid.payment_id = charges.id
        left join raw_stripe.refunds as refunds on paid.payment_id = refunds.id
        left join raw_stripe.disputes as disputes on replace(paid.payment_id, '/won', '') = disputes.id
        where
            paid.tenant_id = ? and paid.currency = ?
            and cast(paid.occurred_at at time zone 'UTC' as date) = cast(? as date)
        """,
        cell.day,
    )


_PERIODS, _ENTRIES = "intermediate.int_subscription_item_periods", "intermediate.int_revenue_entries"
MARTS: Mapping[str, _Mart] = {
    "fct_mrr_movements": _Mart("day", ("mrr_change",), _mrr_moved, _PERIODS),
    "fct_mrr_daily": _Mart("day", ("mrr", *_BASES, "mrr_paused"), _mrr_of_day, _PERIODS),
    "fct_mrr_monthly": _Mart(
        "month",
        ("mrr_start", "mrr_end", *(f"{basis}_end" for basis in _BASES), "mrr_paused_end"),
        _mrr_of_month,
        _PERIODS,
    ),
    "fct_usage_mrr_monthly": _Mart("month", ("usage_mrr",), _used, "staging.stg_stripe__meter_event_summaries"),
    "fct_deferred_revenue_daily": _Mart("day", _FLOWS, _entries_of_day, _ENTRIES),
    "fct_deferred_revenue_monthly": _Mart("month", _FLOWS, _entries_of_month, _ENTRIES),
    "fct_ar_ageing": _Mart("day", ("amount",), _invoices, "marts.fct_invoices"),
    "fct_payments": _Mart("day", ("amount",), _payments, "intermediate.int_payments"),
}
