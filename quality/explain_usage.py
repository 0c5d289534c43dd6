"""From a figure of a day of usage down to the product's rows that made it, each with where it was captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import duckdb

from quality.explanation import Explanation, Row, the_figure
from settings import TailraceError
from warehouse import quote

FEATURES: Mapping[str, tuple[str, str, str]] = {
    "workflows": ("workflow_runs", "started_at", "started_by"),
    "tasks": ("tasks", "completed_at", "assignee_id"),
    "comments": ("comments", "created_at", "author_id"),
    "api": ("api_requests", "occurred_at", "user_id"),
    "ai": ("ai_requests", "occurred_at", "user_id"),
}
"""feature → product table, the column of the event's time, that of its user; as int_usage_events maps them"""
EVERYTHING = tuple(FEATURES)


@dataclass(frozen=True)
class Measure:
    """What a figure is made of: ``amount`` of each row of the features, where ``condition`` holds, over ``days``; of
    ``users``, how many of them there are.
    """

    features: tuple[str, ...]
    amount: str = "1"
    condition: str = "true"
    days: int = 1
    users: bool = False


_TOKENS = Measure(("ai",), amount="coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)")
_COST = Measure(("ai",), amount="coalesce(cost_usd, 0)")
USAGE: Mapping[str, Measure] = {
    "active_users": Measure(EVERYTHING, users=True),
    "active_users_7d": Measure(EVERYTHING, users=True, days=7),
    "active_users_28d": Measure(EVERYTHING, users=True, days=28),
    "workflow_runs": Measure(("workflows",)),
    "workflow_runs_failed": Measure(("workflows",), condition="status = 'failed'"),
    "tasks_completed": Measure(("tasks",)),
    "comments": Measure(("comments",)),
    "api_requests": Measure(("api",)),
    "api_errors": Measure(("api",), condition="status_code >= 500"),
    "ai_requests": Measure(("ai",)),
    "ai_tokens": _TOKENS,
    "ai_cost_usd": _COST,
}
_ACTIVE = ("active_users", "active_users_7d", "active_users_28d")


@dataclass(frozen=True)
class _Table:
    """``row``: the column that tells the rows of a tenant and day apart, where there are several."""

    schema: str
    measures: Mapping[str, Measure]
    row: str | None = None


TABLES: Mapping[str, _Table] = {
    "rollup_tenant_usage_daily": _Table("rollups", USAGE),
    "rollup_tenant_feature_adoption_daily": _Table(
        "rollups",
        {"events": Measure(EVERYTHING), "active_users": Measure(EVERYTHING, users=True)},
        row="feature",
    ),
    "rollup_tenant_ai_daily": _Table(
        "rollups", {"requests": Measure(("ai",)), "tokens": _TOKENS, "cost_usd": _COST}, row="model"
    ),
    "fct_usage_daily": _Table("marts", {name: each for name, each in USAGE.items() if name not in _ACTIVE[1:]}),
    "fct_engagement_daily": _Table("marts", {name: USAGE[name] for name in _ACTIVE}),
    "fct_ai_usage_daily": _Table(
        "marts",
        {
            "requests": Measure(("ai",)),
            "prompt_tokens": Measure(("ai",), amount="coalesce(prompt_tokens, 0)"),
            "completion_tokens": Measure(("ai",), amount="coalesce(completion_tokens, 0)"),
            "cost_usd": _COST,
        },
        row="model",
    ),
}
"""rollup or mart of a tenant's days of usage → the metrics that rows add up to"""


def explain_usage(
    connection: duckdb.DuckDBPyConnection, *, table: str, tenant: str, day: date, metric: str, row: str | None
) -> Explanation:
    """Explain one figure of a table in ``TABLES``; ``row`` is the feature or the model where it has a row for each.

    Raises TailraceError for a metric or row that is not known, and for a cell that is not there.
    """
    asked = TABLES[table]
    measure = asked.measures.get(metric)
    if measure is None:
        raise TailraceError(
            f"explain: {table} has no metric {metric} that rows add up to; known are {', '.join(asked.measures)}"
        )
    if asked.row == "feature":
        if row is None or row not in FEATURES:
            raise TailraceError(f"explain: give --row, one of {', '.join(FEATURES)}")
        measure = replace(measure, features=(row,))
    by_model = asked.row == "model" and row is not None
    name, where, parameters = f"{asked.schema}.{table}", "tenant_id = ? and day = ?", [tenant, day]
    if asked.row is not None and row is not None:
        where, parameters = f"{where} and {quote(asked.row)} = ?", [*parameters, row]
    cell = the_figure(connection, f"select sum({quote(metric)}) from {name} where {where}", parameters)  # noqa: S608
    if cell is None:
        raise TailraceError(f"explain: {table} has no row of this tenant on {day}: nothing that still stands happened")
    rows = landed(
        connection,
        measure.features,
        tenant,
        day - timedelta(days=measure.days - 1),
        day,
        amount=measure.amount,
        condition=measure.condition + (" and coalesce(model, 'unknown') = ?" if by_model else ""),
        parameters=[row] if by_model else [],
    )
    if measure.users:
        rows = [each for each in rows if each["user"] is not None]
    recounted = len({each["user"] for each in rows}) if measure.users else sum(each["counts_for"] for each in rows)
    steps: list[tuple[str, Any]] = [(name, cell)]
    if table == "rollup_tenant_usage_daily":
        mart = "fct_engagement_daily" if measure.days > 1 else "fct_usage_daily"
        query = f"select {quote(metric)} from marts.{mart} where {where}"  # noqa: S608
        steps.append((f"marts.{mart}", the_figure(connection, query, parameters)))
    elif table == "rollup_tenant_ai_daily":
        figure = "prompt_tokens + completion_tokens" if metric == "tokens" else quote(metric)
        query = f"select sum({figure}) from marts.fct_ai_usage_daily where {where}"  # noqa: S608
        steps.append(("marts.fct_ai_usage_daily", the_figure(connection, query, parameters)))
    # The activity of users has neither a model nor tokens of one kind.
    if not by_model and metric not in ("prompt_tokens", "completion_tokens"):
        steps.append(_activity(connection, measure, tenant, day, metric))
    return Explanation.of_usage(
        table=table, tenant=tenant, day=day, metric=metric, cell=cell, recounted=recounted, steps=steps, rows=rows
    )


def landed(
    connection: duckdb.DuckDBPyConnection,
    features: Sequence[str],
    tenant: str,
    first: date,
    last: date,
    *,
    amount: str = "1",
    condition: str = "true",
    parameters: Sequence[object] = (),
) -> list[Row]:
    """Landed rows of the features that count, from the first to the last day, oldest first.

    ``user`` is the product's own id: for counting, not to be shown.
    """
    rows: list[Row] = []
    for feature in features:
        table, time, user = FEATURES[feature]
        query = f"""
            select
                '{table}' as "table", cast(id as varchar) as key, {time} as occurred_at, {amount} as counts_for,
                _ab_cdc_lsn as lsn, _airbyte_extracted_at as extracted_at, cast({user} as varchar) as user
            from raw_app.{quote(table)}
            where
                cast(tenant_id as varchar) = ?
                and cast({time} at time zone 'UTC' as date) between ? and ?
                and _ab_cdc_deleted_at is null
                and {condition}
        """  # noqa: S608
        result = connection.execute(query, [tenant, first, last, *parameters])
        names = [column[0] for column in result.description or []]
        rows += [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    rows.sort(key=lambda row: (row["occurred_at"], row["table"], row["key"]))
    return rows


def _activity(
    connection: duckdb.DuckDBPyConnection, measure: Measure, tenant: str, day: date, metric: str
) -> tuple[str, Any]:
    """The figure in the last table before staging."""
    events = {
        "workflow_runs_failed": "sum(failures)",
        "api_errors": "sum(failures)",
        "ai_tokens": "sum(ai_tokens)",
        "tokens": "sum(ai_tokens)",
        "ai_cost_usd": "sum(ai_cost_usd)",
        "cost_usd": "sum(ai_cost_usd)",
    }.get(metric, "sum(events)")
    # It has no row where nothing happened; the others have a zero.
    figure = "count(distinct case when events > 0 then user_key end)" if measure.users else f"coalesce({events}, 0)"
    query = (
        f"select {figure} from intermediate.int_user_activity_daily where tenant_id = ? "  # noqa: S608
        "and day between ? and ? and feature in (select unnest(?))"
    )
    first = day - timedelta(days=measure.days - 1)
    return (
        "intermediate.int_user_activity_daily",
        the_figure(connection, query, [tenant, first, day, list(measure.features)]),
    )
