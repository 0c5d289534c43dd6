"""Raw tables of a product of any size, made by SQL in DuckDB: as many usage events as asked for, over two years.

Every value follows from its number by a hash, so the same size is the same product. Tenants differ in size by about
fifty, users in zeal; two events in a hundred land up to seven days late. Rows stand in the order in which they landed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb

from ingestion.land import ensure_table, raw_table
from pii_policies import load_contracts
from pii_policies.keys import ensure_keys_for_raw
from warehouse import transaction

TENANTS, DAYS = 2_000, 730
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
LATE_DAYS = 7

SHARES = {"api_requests": 60, "workflow_runs": 15, "tasks": 10, "comments": 8, "ai_requests": 7}
"""table → events of a hundred"""

_PEOPLE = {"workflow_runs": "started_by", "tasks": "assignee_id", "comments": "author_id"}
_MEMBER = {"api_requests": "case when h % 5 > 0 then member end"}  # the others come with a service key
_TIMES = {"workflow_runs": "started_at", "comments": "created_at"}
_COLUMNS = {
    "api_requests": "'/v1/items/' || h % 40 as endpoint, 'GET' as method, h % 900 + 5 as latency_ms, "
    "case when h % 50 = 0 then 500 when h % 20 = 0 then 404 else 200 end as status_code",
    "workflow_runs": "'flow ' || h % 30 as workflow, 'api' as \"trigger\", h % 60000 as duration_ms, "
    "case when h % 25 = 0 then 'failed' else 'succeeded' end as status, "
    "happened_at + to_seconds(h % 60) as finished_at",
    "tasks": "case when h % 10 < 7 then 'done' else 'open' end as status, "
    "happened_at - to_hours(h % 20) as created_at, case when h % 10 < 7 then happened_at end as completed_at",
    "comments": "happened_at as updated_at",
    "ai_requests": "'model-' || h % 3 as model, h % 4000 as prompt_tokens, h % 900 as completion_tokens, "
    "(h % 10000) / 1000000.0 as cost_usd",
}

# Row i of a table lands on day i * days // rows; `u`, `v`, `w` are even on [0, 1).
_EVENTS = """
    insert into raw_app.{table} by name
    select
        tenant_id, id, {user}, {time}{columns},
        id::varchar as _airbyte_raw_id, extracted_at as _airbyte_extracted_at, '{{}}'::json as _airbyte_meta,
        0 as _airbyte_generation_id, i as _ab_cdc_lsn, extracted_at as _ab_cdc_updated_at
    from (
        select
            *,
            $first_day + to_days(landing_day - late) + to_microseconds((w * 86400000000)::bigint) as happened_at,
            $first_day + to_days(landing_day + 1) + interval 2 hours as extracted_at
        from (
            select
                *,
                ($first_landing + (i - $start) * $landings // $rows)::integer as landing_day,
                case when h % 50 = 7 then 1 + h // 50 % {late} else 0 end::integer as late,
                md5_number('{table}' || i)::uuid as id,
                tenant.tenant_id,
                tenant.users[1 + floor(power(v, 1.5) * len(tenant.users))::integer] as member
            from (
                select
                    i, (hash(i, '{table}') % 1000003)::bigint as h,
                    floor(power((hash(i, 't{table}') % 999983) / 999983.0, 2) * $tenants)::integer as number,
                    (hash(i, 'v{table}') % 999979) / 999979.0 as v, (hash(i, 'w{table}') % 999961) / 999961.0 as w
                from range($start, $start + $rows) as numbers (i)
            ) as drawn
            inner join bench_tenants as tenant using (number)
        ) as placed
    ) as dated
"""

_DIRECTORY = (
    """create or replace table bench_tenants as
    select
        n::integer as number, md5_number('tenant' || n)::uuid as tenant_id, 'cus_' || n as customer, {plan} as plan,
        {currency} as currency, n % 400 as begins, $first_day as _airbyte_extracted_at, '{{}}'::json as _airbyte_meta,
        0 as _airbyte_generation_id, list_transform(
            range(greatest(4, (8 / sqrt((n + 1) / $tenants))::bigint)),
            lambda u: md5_number('user' || n || '/' || u)::uuid
        ) as users
    from range($tenants) as numbers (n)""",
    """insert into raw_app.tenants by name
    select
        tenant_id as id, 'Tenant ' || number as name, 't' || number as slug, 'pool' as tier, 'us' as region, plan,
        'active' as status, customer as stripe_customer_id, $first_day + to_days(begins) as created_at,
        $first_day as updated_at, {landed}
    from bench_tenants""",
    """insert into raw_app.users by name
    select
        tenant_id, unnest(users) as id, 'member' as role, 'active' as status, 'en' as locale,
        $first_day as created_at, $first_day as updated_at, {landed}
    from bench_tenants""",
    """insert into raw_app.entitlements by name
    select
        tenant_id, md5_number(feature || number)::uuid as id, feature, 1000 + number as limit_value, 'units' as unit,
        $first_day as valid_from, $first_day as updated_at, {landed}
    from bench_tenants
    cross join (select unnest(['seats', 'api_requests', 'workflow_runs', 'ai_tokens']) as feature)""",
    """insert into raw_stripe.customers by name
    select
        customer as id, currency, json_object('tenant_id', tenant_id::varchar) as metadata,
        epoch($first_day)::bigint as created, {landed}
    from bench_tenants""",
    # A subscription begins, changes its seats up to three times, and that of every tenth tenant ends.
    """insert into raw_stripe.events by name
    select
        'evt_' || number || '_' || step as id, epoch($first_day)::bigint + (begins + step * 80) * 86400 as created,
        'customer.subscription.'
        || case when step = 0 then 'created' when ends then 'deleted' else 'updated' end as type,
        json_object('object', json_object(
            'id', 'sub_' || number, 'customer', customer, 'currency', currency, 'discounts', [],
            'status', case when ends then 'canceled' else 'active' end,
            'items', json_object('data', [json_object(
                'quantity', 3 + (number * 7 + step * 5) % 40,
                'price', json_object(
                    'id', 'price_1', 'unit_amount', 1500,
                    'recurring', json_object('interval', 'month', 'interval_count', 1)
                )
            )])
        )) as data, {landed}
    from (select *, step = 3 and number % 10 = 0 as ends from bench_tenants cross join range(4) as steps (step))""",
    """insert into raw_stripe.invoices by name
    select
        'in_' || number || '_' || month as id, customer, 'paid' as status, currency, 45000 as amount_due,
        45000 as amount_paid, 0 as amount_remaining, 45000 as subtotal, 45000 as total, 1 as attempt_count,
        'subscription_cycle' as billing_reason, billed_at as created,
        json_object('finalized_at', billed_at, 'paid_at', billed_at + 60) as status_transitions, {landed}
    from (
        select *, epoch($first_day)::bigint + month * 2592000 as billed_at
        from bench_tenants
        cross join range(24) as months (month)
    )""",
    """insert into raw_stripe.charges by name
    select
        'ch_' || number || '_' || month as id, customer, 45000 as amount, 45000 as amount_captured, currency,
        0 as amount_refunded, 'succeeded' as status, true as paid, true as captured, false as refunded,
        epoch($first_day)::bigint + month * 2592000 as created, {landed}
    from bench_tenants
    cross join range(24) as months (month)""",
    """insert into raw_hubspot.companies by name
    select
        'hs_' || number as id, 'Tenant ' || number as properties_name, tenant_id::varchar as properties_tenant_id,
        'us' as properties_region, false as archived, $first_day as "createdAt", $first_day as "updatedAt", {landed}
    from bench_tenants""",
    """insert into raw_hubspot.deals by name
    select
        'deal_' || number || '_' || deal as id, '12000' as properties_amount, 'default' as properties_pipeline,
        'USD' as properties_deal_currency_code, {stage} as properties_dealstage, false as archived,
        ($first_day + to_days(begins))::varchar as properties_closedate, $first_day as "createdAt",
        'hs_' || number as properties_hs_primary_associated_company, $first_day as "updatedAt", {landed}
    from bench_tenants
    cross join range(2) as deals (deal)""",
)
_GIVEN = {
    "plan": "(['starter', 'growth', 'scale'])[1 + n % 3]",
    "currency": "(['usd', 'usd', 'eur', 'gbp'])[1 + n % 4]",
    "stage": "(['closedwon', 'closedlost', 'qualified'])[1 + (number + deal) % 3]",
    "landed": "_airbyte_extracted_at, _airbyte_meta, _airbyte_generation_id",
}


def land_history(con: duckdb.DuckDBPyConnection, *, events: int, tenants: int = TENANTS) -> None:
    """All raw tables, with ``events`` usage events in all; the vault that ``con`` has attached gets its keys."""
    contracts = load_contracts()
    with transaction(con):
        for contract in contracts.tables():
            if contract.derived_from is None:
                ensure_table(con, raw_table(contract))
    for statement in (each.format(**_GIVEN) for each in _DIRECTORY):
        given = {"first_day": FIRST_DAY, "tenants": tenants}
        con.execute(statement, {name: value for name, value in given.items() if f"${name}" in statement})
    ensure_keys_for_raw(con, contracts)
    for table, share in SHARES.items():
        _land_events(con, table, start=0, rows=events * share // 100, first_landing=0, landings=DAYS)


def land_a_day(con: duckdb.DuckDBPyConnection, *, events: int, number: int) -> datetime:
    """Day ``number`` (``DAYS`` is the first after the history) lands: ``events``, some late; some rows are deleted.

    Returns when it was extracted.
    """
    for table, share in SHARES.items():
        start = 10**10 + number * 10**8
        _land_events(con, table, start=start, rows=events * share // 100, first_landing=number, landings=1)
    at = FIRST_DAY + timedelta(days=number + 1, hours=2)
    # As the lander writes a change: the old version goes, the new one stands at the end.
    con.execute(
        "create or replace temp table bench_deleted as select * replace ($at as _airbyte_extracted_at, $at as "
        "_ab_cdc_deleted_at, null as body) from raw_app.comments where created_at >= $since "
        "and hash(id) % 500 = $number % 500",
        {"at": at, "since": at - timedelta(days=LATE_DAYS), "number": number},
    )
    con.execute("delete from raw_app.comments where id in (select id from bench_deleted)")
    con.execute("insert into raw_app.comments by name select * from bench_deleted")
    return at


def _land_events(
    con: duckdb.DuckDBPyConnection, table: str, *, start: int, rows: int, first_landing: int, landings: int
) -> None:
    time = (
        f"happened_at as {_TIMES[table]}, "
        if table in _TIMES
        else ""
        if table == "tasks"
        else "happened_at as occurred_at, "
    )
    statement = _EVENTS.format(
        table=table,
        user=f"{_MEMBER.get(table, 'member')} as {_PEOPLE.get(table, 'user_id')}",
        time=time,
        columns=_COLUMNS[table],
        late=LATE_DAYS,
    )
    con.execute(
        statement,
        {
            "first_day": FIRST_DAY,
            "start": start,
            "rows": rows,
            "first_landing": first_landing,
            "landings": landings,
            "tenants": con.execute("select count(*) from bench_tenants").fetchall()[0][0],
        },
    )
