"""The questions the API answers, each one statement that gives the whole answer as JSON.

PostgreSQL writes the JSON: figures go from its pages to the socket without being taken apart on the way. Every
statement names the tenant (``$1``) in front, so that its index is used; row-level security stands below as the net. A
range (``$2``, ``$3``, both may be null) is resolved here too, against the newest day with data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from psycopg import sql as composed

from serving.homes import SHARED

MOST_DAYS = 400
DEFAULT_DAYS = 30


@dataclass(frozen=True)
class Query:
    """``parameters`` counts the tenant. ``name`` is that of the prepared statement; without one it is not prepared."""

    name: str
    sql: str
    parameters: int

    def within(self, schema: str) -> Query:
        """The same question of a namespace. There may be many of them, so no connection keeps its plans."""
        return self if schema == SHARED else _within(self, schema)


@lru_cache(maxsize=4096)
def _within(query: Query, schema: str) -> Query:
    quoted = composed.Identifier(schema).as_string(None)
    return Query("", query.sql.replace(f"{SHARED}.", f"{quoted}."), query.parameters)


_PUBLICATION = """
publication as (
    select version, as_of, published_at
    from tenant_analytics.publications order by version desc limit 1
)"""
# Years have four digits, so that every day that is shown can be read back.
_PERIOD = f"""
newest as (
    select coalesce(max(day), (now() at time zone 'UTC')::date) as day
    from tenant_analytics.rollup_tenant_usage_daily where tenant_id = $1::uuid
),
period as (
    select first_day, last_day, first_day - (last_day - first_day + 1) as before from (
        select
            coalesce($2::date, greatest(coalesce($3::date, day) - {DEFAULT_DAYS - 1}, '0001-01-01')) as first_day,
            coalesce($3::date, case
                when $2::date is null then day
                else least(greatest(day, $2::date), $2::date + {MOST_DAYS - 1}, '9999-12-31')
            end) as last_day
        from newest
    ) as resolved
)"""  # noqa: S608 - two numbers of ours
_STAMP = """
    'version', (select version from publication),
    'as_of', (select as_of from publication)"""
_BOUNDS = """,
    'from', (select first_day from period),
    'to', (select last_day from period)"""
_RANGE = _STAMP + _BOUNDS
_USAGE_SUMS = (
    ", ".join(
        f"coalesce(sum({each}), 0) as {each}"
        for each in (
            *("workflow_runs", "workflow_runs_failed", "tasks_completed", "comments"),
            *("api_requests", "api_errors", "ai_requests", "ai_tokens"),
        )
    )
    + ", coalesce(sum(ai_cost_usd), 0)::text as ai_cost_usd"
)


def _usage(grain: str) -> Query:
    """By day the rows as they are. A longer bucket sums what adds up; its active users are the highest of a day, and
    its windows end with its last day that has data."""
    if grain == "day":
        buckets = """
            select day, active_users, active_users_7d, active_users_28d, workflow_runs, workflow_runs_failed,
                tasks_completed, comments, api_requests, api_errors, ai_requests, ai_tokens,
                ai_cost_usd::text as ai_cost_usd
            from counted where day >= (select first_day from period) order by day"""
    else:
        buckets = f"""
            select date_trunc('{grain}', day)::date as day,
                max(active_users) as active_users,
                (array_agg(active_users_7d order by day desc))[1] as active_users_7d,
                (array_agg(active_users_28d order by day desc))[1] as active_users_28d,
                {_USAGE_SUMS}
            from counted where day >= (select first_day from period)
            group by date_trunc('{grain}', day) order by date_trunc('{grain}', day)"""  # noqa: S608 - two words of ours
    return Query(
        f"usage_{grain}",
        f"""
with {_PUBLICATION}, {_PERIOD},
counted as materialized (
    select usage.* from tenant_analytics.rollup_tenant_usage_daily as usage
    where tenant_id = $1::uuid
        and day >= (select before from period) and day <= (select last_day from period)
)
select json_build_object(
    'tenant_name', (select tenant_name from tenant_analytics.tenant_directory where tenant_id = $1::uuid),{_RANGE},
    'grain', '{grain}',
    'days', coalesce((select json_agg(bucket) from ({buckets}) as bucket), '[]'),
    'totals', (select to_json(total) from (
        select {_USAGE_SUMS} from counted where day >= (select first_day from period)
    ) as total),
    'previous', (select to_json(total) from (
        select {_USAGE_SUMS} from counted where day < (select first_day from period)
    ) as total)
)::text""",  # noqa: S608 - put together from constants
        3,
    )


USAGE = {grain: _usage(grain) for grain in ("day", "week", "month")}

FEATURES = Query(
    "features",
    f"""
with {_PUBLICATION}, {_PERIOD},
counted as materialized (
    select feature, day, active_users, events, adoption_share
    from tenant_analytics.rollup_tenant_feature_adoption_daily
    where tenant_id = $1::uuid
        and day >= (select first_day from period) and day <= (select last_day from period)
),
adopted as (
    select feature, sum(events) as events,
        round(sum(adoption_share) / greatest((select count(distinct day) from counted), 1), 6) as average_adoption,
        json_agg(json_build_object(
            'day', day, 'active_users', active_users, 'events', events, 'adoption_share', adoption_share
        ) order by day) as days
    from counted group by feature
)
select json_build_object({_RANGE},
    'features', coalesce((
        select json_agg(line) from (select * from adopted order by average_adoption desc, feature) as line
    ), '[]')
)::text""",  # noqa: S608 - put together from constants
    3,
)

ENTITLEMENTS = Query(
    "entitlements",
    f"""
with {_PUBLICATION},
newest as (
    select max(month) as month from tenant_analytics.rollup_tenant_entitlements_monthly where tenant_id = $1::uuid
)
select json_build_object({_STAMP},
    'month', (select month from newest),
    'entitlements', coalesce((select json_agg(line) from (
        select metric, unit, used, included, share_used, forecast_month_end, days_to_limit, limit_day,
            used_usd::text as used_usd, included_usd::text as included_usd
        from tenant_analytics.rollup_tenant_entitlements_monthly
        where tenant_id = $1::uuid and month = (select month from newest) order by metric
    ) as line), '[]')
)::text""",  # noqa: S608 - put together from constants
    1,
)

_AI_SUMS = (
    "coalesce(sum(requests), 0) as requests, coalesce(sum(tokens), 0) as tokens, "
    "coalesce(sum(cost_usd), 0)::text as cost_usd"
)
AI = Query(
    "ai",
    f"""
with {_PUBLICATION}, {_PERIOD},
counted as materialized (
    select model, day, requests, tokens, cost_usd from tenant_analytics.rollup_tenant_ai_daily
    where tenant_id = $1::uuid
        and day >= (select before from period) and day <= (select last_day from period)
),
models as (
    select model, {_AI_SUMS}, sum(cost_usd) as cost,
        json_agg(json_build_object(
            'day', day, 'requests', requests, 'tokens', tokens, 'cost_usd', cost_usd::text
        ) order by day) as days
    from counted where day >= (select first_day from period) group by model
),
spent as (
    select used_usd, included_usd from tenant_analytics.rollup_tenant_entitlements_monthly
    where tenant_id = $1::uuid and metric = 'ai_tokens' order by month desc limit 1
)
select json_build_object({_RANGE},
    'spend_cap_usd', (select included_usd::text from spent),
    'spent_month_usd', (select used_usd::text from spent),
    'models', coalesce((select json_agg(line) from (
        select model, requests, tokens, cost_usd, days from models order by cost desc, model
    ) as line), '[]'),
    'totals', (select to_json(total) from (
        select {_AI_SUMS} from counted where day >= (select first_day from period)
    ) as total),
    'previous', (select to_json(total) from (
        select {_AI_SUMS} from counted where day < (select first_day from period)
    ) as total)
)::text""",  # noqa: S608 - put together from constants
    3,
)

BENCHMARKS = Query(
    "benchmarks",
    f"""
with {_PUBLICATION},
newest as (
    select max(month) as month from tenant_analytics.rollup_tenant_benchmarks_monthly where tenant_id = $1::uuid
)
select json_build_object({_STAMP},
    'month', (select month from newest),
    'benchmarks', coalesce((select json_agg(line) from (
        select metric, value, p25, median, p75, peers from tenant_analytics.rollup_tenant_benchmarks_monthly
        where tenant_id = $1::uuid and month = (select month from newest) order by metric
    ) as line), '[]')
)::text""",  # noqa: S608 - put together from constants
    1,
)

FRESHNESS = Query(
    "freshness",
    f"""
with {_PUBLICATION},
days as (
    select min(day) as first_day, max(day) as last_day
    from tenant_analytics.rollup_tenant_usage_daily where tenant_id = $1::uuid
)
select json_build_object({_STAMP},
    'published_at', (select published_at from publication),
    'first_day', (select first_day from days),
    'last_day', (select last_day from days)
)::text""",  # noqa: S608 - put together from constants
    1,
)

# Windows are refreshed after a publish, so the answer is of the version that they name, not of the newest.
ROLLING = Query(
    "rolling",
    f"""
with {_PUBLICATION},
activity as materialized (
    select * from tenant_analytics.rolling_usage where tenant_id = $1::uuid
)
select json_build_object(
    'version', coalesce((select version from activity), (select version from publication)),
    'as_of', coalesce((select as_of from activity), (select as_of from publication)),
    'first_day', (select first_day from activity),
    'last_day', (select last_day from activity),
    'activity', (select to_json(line) from (
        select days, active_users_28d, daily_active_users_median, daily_active_users_p90, workflow_runs, api_requests,
            daily_api_requests_p95, ai_cost_usd::text as ai_cost_usd
        from activity
    ) as line),
    'features', coalesce((select json_agg(line) from (
        select rank, feature, events, daily_active_users_median, daily_active_users_max,
            round(adoption_share_mean, 6) as adoption_share_mean
        from tenant_analytics.rolling_features where tenant_id = $1::uuid order by rank, feature
    ) as line), '[]'),
    'models', coalesce((select json_agg(line) from (
        select rank, model, requests, tokens, daily_tokens_p95, cost_usd::text as cost_usd
        from tenant_analytics.rolling_ai_models where tenant_id = $1::uuid order by rank, model
    ) as line), '[]')
)::text""",  # noqa: S608 - put together from constants
    1,
)

USER_SORTS = {
    "user_key": ("text", "asc"),
    "first_active_day": ("date", "asc"),
    "-first_active_day": ("date", "desc"),
    "last_active_day": ("date", "asc"),
    "-last_active_day": ("date", "desc"),
    "active_days_28d": ("bigint", "asc"),
    "-active_days_28d": ("bigint", "desc"),
    "events_28d": ("bigint", "asc"),
    "-events_28d": ("bigint", "desc"),
}
"""sort → type of its column and direction; equals follow each other by user_key"""


def _users(sort: str) -> Query:
    """``$2``: how many; ``$3``, ``$4``: value and user_key of the last user seen, null at the start."""
    column, (kind, direction) = sort.removeprefix("-"), USER_SORTS[sort]
    beyond = ">" if direction == "asc" else "<"
    after = (
        "user_key > coalesce($4::text, $3::text)"
        if column == "user_key"
        else f"({column} {beyond} $3::{kind} or {column} = $3::{kind} and user_key > $4::text)"
    )
    order = "user_key" if column == "user_key" else f"{column} {direction}, user_key"
    return Query(
        f"users_{sort.replace('-', 'down_')}",
        f"""
with {_PUBLICATION},
page as materialized (
    select user_key, first_active_day, last_active_day, active_days_28d, events_28d, top_feature
    from tenant_analytics.rollup_tenant_users
    where tenant_id = $1::uuid and ($4::text is null or {after})
    order by {order} limit $2::integer + 1
),
shown as materialized (select * from page order by {order} limit $2::integer),
last as (
    select {column}::text as value, user_key from (select row_number() over (order by {order}) as place, * from shown)
        as placed
    where place = (select count(*) from shown) and (select count(*) from page) > $2::integer
)
select json_build_object({_STAMP},
    'users', coalesce((select json_agg(shown order by {order}) from shown), '[]'),
    'next_cursor', (
        select translate(encode(convert_to(json_build_array('{sort}', value, user_key)::text, 'UTF8'), 'base64'),
            E'+/=\\n', '-_')
        from last
    )
)::text""",  # noqa: S608 - put together from constants
        4,
    )


USERS = {sort: _users(sort) for sort in USER_SORTS}

# Before tenants had schemas of their own the directory named none.
DIRECTORY = Query(
    "directory",
    "select json_build_array(database, coalesce(to_jsonb(entry) ->> 'schema', 'tenant_analytics'))::text "
    "from tenant_analytics.tenant_directory as entry where tenant_id = $1::uuid",
    1,
)
