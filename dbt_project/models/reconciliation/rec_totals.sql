-- Grain: one row per comparison, tenant_id and subject: what one layer says beside what the next one does. A break is a
-- row whose sides differ.
-- It reads the whole history, narrowly: an increment that missed something shows nowhere else.

with

{% set usage = {
    'workflow_runs': ('workflows', 'workflow_runs', 'started_at'),
    'tasks': ('tasks', 'tasks_completed', 'completed_at'),
    'comments': ('comments', 'comments', 'created_at'),
    'api_requests': ('api', 'api_requests', 'occurred_at'),
    'ai_requests': ('ai', 'ai_requests', 'occurred_at'),
} %}
raw_usage as (

    {% for table, (feature, measure, time) in usage.items() %}
        select
            cast(tenant_id as varchar) as tenant_id,
            '{{ feature }}' as subject,
            count(*) as total
        from {{ source('raw_app', table) }}
        where
            _ab_cdc_deleted_at is null
            and {{ time }} is not null
        group by cast(tenant_id as varchar)
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

staged_usage as (

    select
        tenant_id,
        feature as subject,
        count(*) as total
    from {{ ref('int_usage_events') }}
    where not is_deleted
    group by tenant_id, feature

),

mart_usage as (

    {% for table, (feature, measure, time) in usage.items() %}
        select
            tenant_id,
            '{{ feature }}' as subject,
            sum({{ measure }}) as total
        from {{ ref('fct_usage_daily') }}
        group by tenant_id
        having sum({{ measure }}) > 0
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

rollup_usage as (

    {% for table, (feature, measure, time) in usage.items() %}
        select
            tenant_id,
            '{{ feature }}' as subject,
            sum({{ measure }}) as total
        from {{ ref('rollup_tenant_usage_daily') }}
        group by tenant_id
        having sum({{ measure }}) > 0
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

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
