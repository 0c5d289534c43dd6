"""From what a tenant used in a month, how it compares, and what one user did, down to the product's rows.

What is no sum (a mean, a highest day, a share) is computed anew from the rows, rounded as the models round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb

from quality.explain_usage import EVERYTHING, FEATURES, USAGE, landed
from quality.explanation import Explanation, Row, the_figure
from settings import TailraceError
from warehouse import quote

_WINDOW = timedelta(days=27)


@dataclass(frozen=True)
class _Asked:
    """``row``: the value of the table's own key beside the tenant; ``first``, ``last``: the days of the period."""

    connection: duckdb.DuckDBPyConnection
    tenant: str
    row: str
    metric: str
    first: date
    last: date

    def landed(self, features: Sequence[str], first: date, last: date, **options: Any) -> list[Row]:
        return landed(self.connection, features, self.tenant, first, last, **options)

    def figure(self, query: str, *parameters: object) -> Any:
        return the_figure(self.connection, query, parameters)


_Made = tuple[Any, list[Row], list[tuple[str, Any]]]
"""the figure recounted, the rows, the figure in tables on the way"""


@dataclass(frozen=True)
class _Period:
    """``key``: the column that ``row`` is looked up in. ``of``: what ``row`` may be, where that is known beforehand."""

    schema: str
    key: str
    metrics: tuple[str, ...]
    made: Callable[[_Asked], _Made]
    of: tuple[str, ...] = ()
    monthly: bool = True


def explain_period(
    connection: duckdb.DuckDBPyConnection, *, table: str, tenant: str, day: date, metric: str, row: str | None
) -> Explanation:
    """Explain one figure of a table in ``PERIODS``. ``day`` is any day of the month; of a user, the reporting day.

    Raises TailraceError for a metric or row that is not known, for a cell that is not there, and for another day than
    the one that a figure of a user stands at.
    """
    asked = PERIODS[table]
    if metric not in asked.metrics:
        raise TailraceError(
            f"explain: {table} has no metric {metric} that rows add up to; known are {', '.join(asked.metrics)}"
        )
    if row is None or (asked.of and row not in asked.of):
        given = f"one of {', '.join(asked.of)}" if asked.of else f"a {asked.key}"
        raise TailraceError(f"explain: give --row, {given}")
    stands_at = the_figure(connection, "select reporting_day from intermediate.int_reporting_day")
    if asked.monthly:
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    elif day == stands_at:
        first, last = day - _WINDOW, day
    else:
        raise TailraceError(f"explain: the figures of {table} stand at {stands_at}; give --day {stands_at}")
    where = f"tenant_id = ? and {asked.key} = ?{' and month = ?' if asked.monthly else ''}"
    parameters: list[object] = [tenant, row, *([first] if asked.monthly else [])]
    name = f"{asked.schema}.{table}"
    cell = the_figure(connection, f"select {quote(metric)} from {name} where {where}", parameters)  # noqa: S608
    if cell is None:
        raise TailraceError(f"explain: {table} has no such figure of this tenant and {day}")
    recounted, rows, steps = asked.made(_Asked(connection, tenant, row, metric, first, last))
    return Explanation.of_usage(
        table=table,
        tenant=tenant,
        day=day,
        metric=metric,
        cell=cell,
        recounted=recounted,
        steps=[(name, cell), *steps],
        rows=rows,
    )


# what was bought and used


def _entitlement(asked: _Asked) -> _Made:
    if asked.metric in ("included", "limit_value"):
        rows = _in_force(asked, asked.row, _month_end(asked))
        return sum(row["counts_for"] for row in rows), rows, []
    if asked.row == "seats" and asked.metric == "used":
        return _seats(asked)
    column = "ai_cost_usd" if asked.metric == "used_usd" else asked.row
    measure = USAGE[column]
    rows = asked.landed(measure.features, asked.first, asked.last, amount=measure.amount, condition=measure.condition)
    query = f"select sum({column}) from marts.fct_usage_daily where tenant_id = ? and day between ? and ?"  # noqa: S608
    in_mart = asked.figure(query, asked.tenant, asked.first, asked.last)
    return sum(row["counts_for"] for row in rows), rows, [("marts.fct_usage_daily", in_mart or 0)]


def _seats(asked: _Asked) -> _Made:
    """Seats are taken by who was active in 28 days: of the month, the first day on which they were the most."""
    query = "select {} from marts.fct_engagement_daily where tenant_id = ? and day between ? and ?"
    of_month = asked.tenant, asked.first, asked.last
    most = asked.figure(query.format("max(active_users_28d)"), *of_month)
    if most is None:
        return 0, [], []
    peak = asked.figure(query.format("min_by(day, (-active_users_28d, day))"), *of_month)
    rows = [row for row in asked.landed(EVERYTHING, peak - _WINDOW, peak) if row["user"] is not None]
    return len({row["user"] for row in rows}), rows, [(f"marts.fct_engagement_daily, {peak}", most)]


def _month_end(asked: _Asked) -> date:
    """The day at which what holds in a month is looked at: its last, or the reporting day."""
    return min(asked.last, asked.figure("select reporting_day from intermediate.int_reporting_day"))


def _in_force(asked: _Asked, feature: str, day: date) -> list[Row]:
    """The entitlement in force when a day ended: of several, the one that began last."""
    query = """
        select
            'entitlements' as "table", cast(id as varchar) as key, valid_from as occurred_at,
            limit_value as counts_for, _ab_cdc_lsn as lsn, _airbyte_extracted_at as extracted_at
        from raw_app.entitlements
        where
            cast(tenant_id as varchar) = ? and feature = ? and _ab_cdc_deleted_at is null
            and cast(valid_from at time zone 'UTC' as date) <= ?
            and (cast(valid_to at time zone 'UTC' as date) > ? or valid_to is null)
        order by valid_from desc, cast(id as varchar) limit 1
    """
    result = asked.connection.execute(query, [asked.tenant, feature, day, day])
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


# how a tenant compares: its own figure, for those of its peers are not its to see


def _benchmark(asked: _Asked) -> _Made:
    return {"stickiness": _stickiness, "seat_use": _seat_use, "api_error_share": _api_error_share}[asked.row](asked)


def _stickiness(asked: _Asked) -> _Made:
    """The mean of the days' shares: active users of the day among those of the 28 days that end with it."""
    rows = asked.landed(EVERYTHING, asked.first - _WINDOW, asked.last)
    used = {_day(row) for row in rows if asked.first <= _day(row)}
    by_day: dict[date, set[str]] = {}
    for row in rows:
        if row["user"] is not None:
            by_day.setdefault(_day(row), set()).add(row["user"])
    shares = []
    for day in used:
        window = set().union(*(users for each, users in by_day.items() if day - _WINDOW <= each <= day))
        shares.append(_share(len(by_day.get(day, ())), len(window)))
    total = _rounded(sum(shares, Decimal(0)), 4)
    return _rounded(_rounded(total / len(used), 6), 4), [row for row in rows if row["user"] is not None], []


def _seat_use(asked: _Asked) -> _Made:
    """The highest of the month: active users of 28 days among the seats that were bought when the day ended."""
    peak = asked.figure(
        "select min_by(day, (-seat_use, day)) from marts.fct_engagement_daily "
        "where tenant_id = ? and day between ? and ? and seat_use is not null",
        *(asked.tenant, asked.first, asked.last),
    )
    rows = [row for row in asked.landed(EVERYTHING, peak - _WINDOW, peak) if row["user"] is not None]
    seats = _in_force(asked, "seats", peak)
    use = Decimal(len({row["user"] for row in rows})) / sum(row["counts_for"] for row in seats)
    query = "select seat_use from marts.fct_engagement_daily where tenant_id = ? and day = ?"
    in_mart = _rounded(asked.figure(query, asked.tenant, peak), 4)
    return _rounded(_rounded(use, 6), 4), [*seats, *rows], [(f"marts.fct_engagement_daily, {peak}", in_mart)]


def _api_error_share(asked: _Asked) -> _Made:
    """A row counts 1 where it was answered with an error of ours, else 0."""
    amount = "cast(coalesce(status_code >= 500, false) as integer)"
    rows = asked.landed(["api"], asked.first, asked.last, amount=amount)
    return _rounded(_share(sum(row["counts_for"] for row in rows), len(rows)), 4), rows, []


# what one user did


def _user(asked: _Asked) -> _Made:
    """Whose pseudonym it is, staging knows, which has the keys; the person is not told."""
    rows: list[Row] = []
    for feature, (table, time, user) in FEATURES.items():
        own = asked.connection.execute(
            f"select id from staging.stg_app__{table} where tenant_id = ? and {user} = ? and not is_deleted "  # noqa: S608
            f"and cast({time} at time zone 'UTC' as date) between ? and ?",
            [asked.tenant, asked.row, asked.first, asked.last],
        ).fetchall()
        ids = {key for (key,) in own}
        rows += [row for row in asked.landed([feature], asked.first, asked.last) if row["key"] in ids]
    rows.sort(key=lambda row: (row["occurred_at"], row["table"], row["key"]))
    figures = {"events_28d": "coalesce(sum(events), 0)", "active_days_28d": "count(distinct day)"}
    in_activity = asked.figure(
        f"select {figures[asked.metric]} from intermediate.int_user_activity_daily "  # noqa: S608
        "where events > 0 and tenant_id = ? and user_key = ? and day between ? and ?",
        *(asked.tenant, asked.row, asked.first, asked.last),
    )
    recounted = len(rows) if asked.metric == "events_28d" else len({_day(row) for row in rows})
    return recounted, rows, [("intermediate.int_user_activity_daily", in_activity)]


def _day(row: Row) -> date:
    """The day of a row; connections of ours show times in UTC."""
    return row["occurred_at"].date()


def _rounded(figure: Decimal, places: int) -> Decimal:
    """Half away from zero, as the models' decimals are."""
    return figure.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _share(part: int, whole: int) -> Decimal:
    """As the macro ``share``: six places, and 0 of nothing is 0."""
    return _rounded(Decimal(part) / whole, 6) if whole else Decimal(0)


_LIMITS = ("seats", "workflow_runs", "api_requests", "ai_tokens")
_BENCHMARKS = ("stickiness", "seat_use", "api_error_share")
PERIODS: Mapping[str, _Period] = {
    "rollup_tenant_entitlements_monthly": _Period(
        "rollups", "metric", ("used", "used_usd", "included"), _entitlement, of=_LIMITS
    ),
    "fct_entitlement_usage_monthly": _Period("marts", "feature", ("used", "limit_value"), _entitlement, of=_LIMITS),
    "rollup_tenant_benchmarks_monthly": _Period("rollups", "metric", ("value",), _benchmark, of=_BENCHMARKS),
    "fct_peer_benchmarks_monthly": _Period("marts", "metric", ("figure",), _benchmark, of=_BENCHMARKS),
    "rollup_tenant_users": _Period("rollups", "user_key", ("events_28d", "active_days_28d"), _user, monthly=False),
}
"""rollup or mart with a row a month, or a user → how its figures are made"""
