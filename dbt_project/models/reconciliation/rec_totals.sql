-- Grain: one row per comparison, tenant_id and subject: what one layer says beside what the next one does. A break is a
-- row whose sides differ.
-- Usage is compared over the months that are restated in the ordinary way, this one and the last, and over one earlier
-- month, another one each day, so that all of history is looked at in as many days as it has months. What else is here
-- is compared over all of history, because it is short.

with

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

rollup_daily as (

    select * from {{ ref('rollup_tenant_usage_daily') }}

),

{% set usage = {
    'workflow_runs': ('workflows', 'workflow_runs', 'started_at'),
    'tasks': ('tasks', 'tasks_completed', 'completed_at'),
    'comments': ('comments', 'comments', 'created_at'),
    'api_requests': ('api', 'api_requests', 'occurred_at'),
    'ai_requests': ('ai', 'ai_requests', 'occurred_at'),
} %}
{% set windows = ['recent', 'in_turn'] %}
reckoned as (

    select
        {{ month_of('reporting_day') }} as month,
        reporting_day - cast('1970-01-01' as date) as turn,
        -- Of a deployment that is too young there are none in turn, and the empty month before is as good as any.
        {{ months_between("coalesce((select min(usage_daily.day) from usage_daily), reporting_day)", 'reporting_day') }}
            as earlier_months
    from reporting_day

),

recent as (

    select
        {{ plus_months('month', -1) }} as first_day,
        cast('9999-01-01' as date) as last_day
    from reckoned

),

in_turn as (

    select
        {{ plus_months('month', '-(2 + mod(turn, greatest(earlier_months - 1, 1)))') }} as first_day,
        {{ plus_months('month', '-(1 + mod(turn, greatest(earlier_months - 1, 1)))') }} - 1 as last_day
    from reckoned

),

raw_usage as (

    {% for table, (feature, measure, time) in usage.items() %}
        select
            tenant_id,
            '{{ feature }}' as subject,
            sum(total) as total
        from (
            {% for window in windows %}
                select
                    cast({{ table }}.tenant_id as varchar) as tenant_id,
                    count(*) as total
                from {{ source('raw_app', table) }} as {{ table }}
                inner join {{ window }} as reconciled
                    on
                        {{ table }}.{{ time }} >= {{ from_utc('cast(reconciled.first_day as timestamp)') }}
                        and {{ table }}.{{ time }} < {{ from_utc('cast(reconciled.last_day + 1 as timestamp)') }}
                where {{ table }}._ab_cdc_deleted_at is null
                group by cast({{ table }}.tenant_id as varchar)
                {% if not loop.last %}union all{% endif %}
            {% endfor %}
        ) as counted
        group by tenant_id
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

staged_usage as (

    select
        tenant_id,
        subject,
        sum(total) as total
    from (
        {% for window in windows %}
            select
                usage_events.tenant_id,
                usage_events.feature as subject,
                count(*) as total
            from {{ ref('int_usage_events') }} as usage_events
            inner join {{ window }} as reconciled
                on
                    usage_events.occurred_at >= {{ from_utc('cast(reconciled.first_day as timestamp)') }}
                    and usage_events.occurred_at < {{ from_utc('cast(reconciled.last_day + 1 as timestamp)') }}
            where not usage_events.is_deleted
            group by usage_events.tenant_id, usage_events.feature
            {% if not loop.last %}union all{% endif %}
        {% endfor %}
    ) as counted
    group by tenant_id, subject

),

{% for name, layer in {'mart_usage': 'usage_daily', 'rollup_usage': 'rollup_daily'}.items() %}
    {{ name }} as (

        {% for table, (feature, measure, time) in usage.items() %}
            select
                {{ layer }}.tenant_id,
                '{{ feature }}' as subject,
                sum({{ layer }}.{{ measure }}) as total
            from {{ layer }}
            cross join recent
            cross join in_turn
            where
                {{ layer }}.day between recent.first_day and recent.last_day
                or {{ layer }}.day between in_turn.first_day and in_turn.last_day
            group by {{ layer }}.tenant_id
            having sum({{ layer }}.{{ measure }}) > 0
            {% if not loop.last %}union all{% endif %}
        {% endfor %}

    ),

{% endfor %}
-- Active subscription items, as they stand when the reporting day ends.
item_mrr as (

    select
        item_periods.tenant_id,
        item_periods.currency as subject,
        sum(item_periods.{{ mrr_basis() }}) as total
    from {{ ref('int_subscription_item_periods') }} as item_periods
    cross join reporting_day
    where
        {{ utc_day('item_periods.valid_from') }} <= reporting_day.reporting_day
        and ({{ utc_day('item_periods.valid_to') }} > reporting_day.reporting_day or item_periods.valid_to is null)
    group by item_periods.tenant_id, item_periods.currency
    having sum(item_periods.{{ mrr_basis() }}) <> 0

),

ledger_mrr as (

    select
        tenant_id,
        currency as subject,
        sum(mrr_change) as total
    from {{ ref('fct_mrr_movements') }}
    group by tenant_id, currency
    having sum(mrr_change) <> 0

),

monthly_mrr as (

    select
        mrr_monthly.tenant_id,
        mrr_monthly.currency as subject,
        sum(mrr_monthly.mrr_end) as total
    from {{ ref('fct_mrr_monthly') }} as mrr_monthly
    cross join reporting_day
    where mrr_monthly.month = {{ month_of('reporting_day.reporting_day') }}
    group by mrr_monthly.tenant_id, mrr_monthly.currency
    having sum(mrr_monthly.mrr_end) <> 0

),

raw_invoices as (

    select
        customer_matches.tenant_id,
        invoices.currency as subject,
        sum(invoices.amount_due) as total
    from {{ source('raw_stripe', 'invoices') }} as invoices
    left join {{ ref('int_tenant_matches') }} as customer_matches
        on
            customer_matches.system = 'stripe'
            and invoices.customer = customer_matches.external_id
    where
        invoices._ab_cdc_deleted_at is null
        and invoices.status <> 'draft'
    group by customer_matches.tenant_id, invoices.currency

),

mart_invoices as (

    select
        tenant_id,
        currency as subject,
        sum(amount_due) as total
    from {{ ref('fct_invoices') }}
    group by tenant_id, currency

),

paid_invoices as (

    select
        tenant_id,
        currency as subject,
        sum(amount_paid) as total
    from {{ ref('fct_invoices') }}
    group by tenant_id, currency
    having sum(amount_paid) <> 0

),

charges as (

    select
        tenant_id,
        currency as subject,
        sum(amount) as total
    from {{ ref('fct_payments') }}
    where kind = 'charge'
    group by tenant_id, currency
    having sum(amount) <> 0

),

{% set comparisons = [
    ('usage: raw to staging', 'raw_usage', 'staged_usage'),
    ('usage: staging to mart', 'staged_usage', 'mart_usage'),
    ('usage: mart to rollup', 'mart_usage', 'rollup_usage'),
    ('mrr: items to movements', 'item_mrr', 'ledger_mrr'),
    ('mrr: movements to month', 'ledger_mrr', 'monthly_mrr'),
    ('invoices: raw to mart', 'raw_invoices', 'mart_invoices'),
    ('invoices: paid to charges', 'paid_invoices', 'charges'),
] %}
compared as (

    {% for name, one, other in comparisons %}
        select
            '{{ name }}' as comparison,
            coalesce(one.tenant_id, other.tenant_id, 'unattributed') as tenant_id,
            coalesce(one.subject, other.subject) as subject,
            coalesce(one.total, 0) as one_side,
            coalesce(other.total, 0) as other_side
        from {{ one }} as one
        full outer join {{ other }} as other
            on
                one.tenant_id = other.tenant_id
                and one.subject = other.subject
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

final as (

    select
        comparison,
        tenant_id,
        subject,
        cast(one_side as decimal(28, 4)) as one_side,
        cast(other_side as decimal(28, 4)) as other_side,
        cast(other_side - one_side as decimal(28, 4)) as difference,
        one_side <> other_side as is_break,
        cast('{{ invocation_id }}' as varchar) as run_id
    from compared

)

select * from final
