"""From a figure of a rollup or a mart down to the rows that made it, with the position at which each was captured.

Nothing of a row is told but its key, its time and where it came from: whoever asks may read figures, not content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from quality.explain_money import MARTS as MONEY
from quality.explain_money import explain_money
from quality.explanation import Explanation
from settings import TailraceError
from warehouse import quote

_TABLES: Mapping[str, tuple[str, str]] = {
    "workflows": ("workflow_runs", "started_at"),
    "tasks": ("tasks", "completed_at"),
    "comments": ("comments", "created_at"),
    "api": ("api_requests", "occurred_at"),
    "ai": ("ai_requests", "occurred_at"),
}
"""feature → product table, and the column of the event's time; as int_usage_events maps them"""
_EVERYTHING = tuple(_TABLES)


@dataclass(frozen=True)
class _Measure:
    """What a figure is made of: ``amount`` of each row of the features, where ``condition`` holds, over ``days``."""

    features: tuple[str, ...]
    amount: str = "1"
    condition: str = "true"
    days: int = 1
    user: str | None = None


_USER = {
    "workflows": "started_by",
    "tasks": "assignee_id",
    "comments": "author_id",
    "api": "user_id",
    "ai": "user_id",
}
_USAGE: Mapping[str, _Measure] = {
    "active_users": _Measure(_EVERYTHING, user="distinct"),
    "active_users_7d": _Measure(_EVERYTHING, user="distinct", days=7),
    "active_users_28d": _Measure(_EVERYTHING, user="distinct", days=28),
    "workflow_runs": _Measure(("workflows",)),
    "workflow_runs_failed": _Measure(("workflows",), condition="status = 'failed'"),
    "tasks_completed": _Measure(("tasks",)),
    "comments": _Measure(("comments",)),
    "api_requests": _Measure(("api",)),
    "api_errors": _Measure(("api",), condition="status_code >= 500"),
    "ai_requests": _Measure(("ai",)),
    "ai_tokens": _Measure(("ai",), amount="coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)"),
    "ai_cost_usd": _Measure(("ai",), amount="coalesce(cost_usd, 0)"),
}
_AI: Mapping[str, _Measure] = {
    "requests": _Measure(("ai",)),
    "prompt_tokens": _Measure(("ai",), amount="coalesce(prompt_tokens, 0)"),
    "completion_tokens": _Measure(("ai",), amount="coalesce(completion_tokens, 0)"),
    "cost_usd": _Measure(("ai",), amount="coalesce(cost_usd, 0)"),
}
_ACTIVE = ("active_users", "active_users_7d", "active_users_28d")
_BY_FEATURE = "rollup_tenant_feature_adoption_daily"
_TABLES_OF_USAGE: Mapping[str, tuple[str, Mapping[str, _Measure]]] = {
    "rollup_tenant_usage_daily": ("rollups", _USAGE),
    _BY_FEATURE: ("rollups", {}),
    "fct_usage_daily": ("marts", {name: each for name, each in _USAGE.items() if name not in _ACTIVE[1:]}),
    "fct_engagement_daily": ("marts", {name: _USAGE[name] for name in _ACTIVE}),
    "fct_ai_usage_daily": ("marts", _AI),
}
"""rollup or mart of usage → its schema, and the metrics that rows add up to"""


def explain(
    connection: duckdb.DuckDBPyConnection,
    *,
    rollup: str,
    tenant: str,
    day: date,
    metric: str,
    feature: str | None = None,
    currency: str | None = None,
) -> Explanation:
    """Explain one figure of a rollup or a headline mart. ``connection`` reads the warehouse, raw included.

    Raises TailraceError for a table, metric or feature that is not known, for a cell that is not there, and for a
    figure in several currencies of which none is named.
    """
    if rollup in MONEY:
        return explain_money(connection, mart=rollup, tenant=tenant, day=day, metric=metric, currency=currency)
    if rollup not in _TABLES_OF_USAGE:
        known_tables = ", ".join(sorted({*_TABLES_OF_USAGE, *MONEY}))
        raise TailraceError(
            f"explain: {rollup} is not a rollup or mart that can be explained; known are {known_tables}"
        )
    by_feature = rollup == _BY_FEATURE
    schema, measures = _TABLES_OF_USAGE[rollup]
    measure = _feature_measure(metric, feature) if by_feature else measures.get(metric)
    if measure is None:
        known = ("active_users", "events") if by_feature else tuple(measures)
        raise TailraceError(
            f"explain: {rollup} has no metric {metric} that rows add up to; known are {', '.join(known)}"
        )
    cell = _cell(connection, f"{schema}.{quote(rollup)}", tenant, day, metric, feature if by_feature else None)
    rows = [row for name in measure.features for row in _rows(connection, name, measure, tenant, day)]
    rows.sort(key=lambda row: (row["occurred_at"], row["table"], row["key"]))
    recounted = len({row["user"] for row in rows} - {None}) if measure.user else sum(row["counts_for"] for row in rows)
    for row in rows:
        del row["user"]
        row["part"] = None
    return Explanation(
        rollup=rollup,
        tenant=tenant,
        day=day,
        metric=metric,
        cell=cell,
        recounted=recounted,
        steps=[(f"{schema}.{rollup}", cell), *_steps(connection, rollup, measure, tenant, day, metric)],
        rows=rows,
    )


def _feature_measure(metric: str, feature: str | None) -> _Measure | None:
    if feature is None or feature not in _TABLES:
        raise TailraceError(f"explain: give --feature, one of {', '.join(_TABLES)}")
    return {"events": _Measure((feature,)), "active_users": _Measure((feature,), user="distinct")}.get(metric)


def _cell(
    connection: duckdb.DuckDBPyConnection, table: str, tenant: str, day: date, metric: str, feature: str | None
) -> Any:
    """What the table says, of a mart with several rows (one a model of AI) their sum."""
    query = f"select sum({quote(metric)}) from {table} where tenant_id = ? and day = ?"  # noqa: S608
    found = connection.execute(
        query + (" and feature = ?" if feature else ""), [tenant, day, *([feature] if feature else [])]
    ).fetchone()
    if found is None or found[0] is None:
        name = table.partition(".")[2].strip('"')
        raise TailraceError(f"explain: {name} has no row of this tenant on {day}: nothing that still stands happened")
    return found[0]


def _rows(
    connection: duckdb.DuckDBPyConnection, feature: str, measure: _Measure, tenant: str, day: date
) -> list[dict[str, Any]]:
    """Landed rows of a feature that count, in the days of the measure. ``user`` is the product's own id."""
    table, time = _TABLES[feature]
    query = f"""
        select
            '{table}' as "table", cast(id as varchar) as key, {time} as occurred_at, {measure.amount} as counts_for,
            _ab_cdc_lsn as lsn, _airbyte_extracted_at as extracted_at, cast({_USER[feature]} as varchar) as user
        from raw_app.{quote(table)}
        where
            cast(tenant_id as varchar) = ?
            and cast({time} at time zone 'UTC' as date) between cast(? as date) - {measure.days - 1} and cast(? as date)
            and _ab_cdc_deleted_at is null
            and {measure.condition}
            {f"and {_USER[feature]} is not null" if measure.user else ""}
    """  # noqa: S608
    result = connection.execute(query, [tenant, day, day])
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _steps(
    connection: duckdb.DuckDBPyConnection,
    rollup: str,
    measure: _Measure,
    tenant: str,
    day: date,
    metric: str,
) -> list[tuple[str, Any]]:
    """The figure in each table between the explained one and staging that holds it."""
    steps: list[tuple[str, Any]] = []
    mart = "fct_engagement_daily" if measure.days > 1 else "fct_usage_daily"
    if rollup == "rollup_tenant_usage_daily":
        found = connection.execute(
            f"select {quote(metric)} from marts.{mart} where tenant_id = ? and day = ?",  # noqa: S608
            [tenant, day],
        ).fetchone()
        steps.append((f"marts.{mart}", found[0] if found else None))
    events = {
        "workflow_runs_failed": "sum(failures)",
        "api_errors": "sum(failures)",
        "ai_tokens": "sum(ai_tokens)",
        "ai_cost_usd": "sum(ai_cost_usd)",
        "cost_usd": "sum(ai_cost_usd)",
    }.get(metric, "sum(events)")
    if metric in ("prompt_tokens", "completion_tokens"):
        return steps  # the activity of users has only their sum
    # The last table on the way has no row where nothing happened; the others have a zero.
    figure = "count(distinct case when events > 0 then user_key end)" if measure.user else f"coalesce({events}, 0)"
    found = connection.execute(
        f"select {figure} from intermediate.int_user_activity_daily where tenant_id = ? "  # noqa: S608
        f"and day between cast(? as date) - {measure.days - 1} and cast(? as date) and feature in (select unnest(?))",
        [tenant, day, day, list(measure.features)],
    ).fetchone()
    steps.append(("intermediate.int_user_activity_daily", found[0] if found else None))
    return steps
