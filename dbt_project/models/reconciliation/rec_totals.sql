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
        union all
    {% endfor %}

    select
        cast(tenant_id as varchar) as tenant_id,
        'ai cost' as subject,
        sum(cost_usd) as total
    from {{ source('raw_app', 'ai_requests') }}
    where
        _ab_cdc_deleted_at is null
        and occurred_at is not null
    group by cast(tenant_id as varchar)
    having sum(cost_usd) <> 0

),

staged_usage as (

    select
        tenant_id,
        feature as subject,
        count(*) as total
    from {{ ref('int_usage_events') }}
    where not is_deleted
    group by tenant_id, feature

    union all

    select
        tenant_id,
        'ai cost' as subject,
        sum(ai_cost_usd) as total
    from {{ ref('int_usage_events') }}
    where not is_deleted
    group by tenant_id
    having sum(ai_cost_usd) <> 0

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
        union all
    {% endfor %}

    select
        tenant_id,
        'ai cost' as subject,
        sum(ai_cost_usd) as total
    from {{ ref('fct_usage_daily') }}
    group by tenant_id
    having sum(ai_cost_usd) <> 0

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
        union all
    {% endfor %}

    select
        tenant_id,
        'ai cost' as subject,
        sum(ai_cost_usd) as total
    from {{ ref('rollup_tenant_usage_daily') }}
    group by tenant_id
    having sum(ai_cost_usd) <> 0

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

{# Money by table: the amount that is summed, and the table by which a row has a customer, if not by itself. #}
{% set money = {
    'invoices': ('amount_due', none, none),
    'invoice_line_items': ('amount', 'invoices', 'invoice'),
    'charges': ('amount_captured', none, none),
    'refunds': ('amount', 'charges', 'charge'),
    'disputes': ('amount', 'charges', 'charge'),
    'credit_notes': ('total', none, none),
} %}
{% for layer in ['raw', 'staged'] %}
    {{ layer }}_money as (

        {% for table, (amount, owner, key) in money.items() %}
            {% set relation = source('raw_stripe', table) if layer == 'raw' else ref('stg_stripe__' ~ table) %}
            {% set standing = 'records._ab_cdc_deleted_at is null' if layer == 'raw' else 'not records.is_deleted' %}
            select
                coalesce(customer_matches.tenant_id, 'unattributed') as tenant_id,
                '{{ table }} ' || records.currency as subject,
                sum(records.{{ amount }}) as total,
                count(*) as number
            from {{ relation }} as records
            {% if owner %}
                left join {{ source('raw_stripe', owner) if layer == 'raw' else ref('stg_stripe__' ~ owner) }} as owners
                    on records.{{ key }} = owners.id
            {% endif %}
            left join {{ ref('int_tenant_matches') }} as customer_matches
                on
                    customer_matches.system = 'stripe'
                    and {{ 'owners' if owner else 'records' }}.customer = customer_matches.external_id
            where {{ standing }}
            group by customer_matches.tenant_id, records.currency
            {% if not loop.last %}union all{% endif %}
        {% endfor %}

    ),

    {{ layer }}_money_totals as (

        select
            tenant_id,
            subject,
            sum(total) as total
        from {{ layer }}_money
        group by tenant_id, subject

        union all

        select
            tenant_id,
            subject || ', rows' as subject,
            sum(number) as total
        from {{ layer }}_money
        group by tenant_id, subject

    ),
{% endfor %}

{# What the marts tell of money, in the words of staging. #}
{% set facts = {
    'charges': ('fct_payments', "kind = 'charge'", 'amount_asked'),
    'refunds': ('fct_payments', "kind = 'refund'", '-amount_asked'),
    'disputes': ('fct_disputes', 'true', 'amount'),
} %}
staged_facts as (

    select
        tenant_id,
        subject,
        total
    from staged_money_totals
    where
        {% for table in facts %}
            starts_with(subject, '{{ table }} ')
            {% if not loop.last %}or{% endif %}
        {% endfor %}

),

mart_facts as (

    {% for table, (model, condition, amount) in facts.items() %}
        select
            tenant_id,
            '{{ table }} ' || currency as subject,
            sum({{ amount }}) as total
        from {{ ref(model) }}
        where {{ condition }}
        group by tenant_id, currency

        union all

        select
            tenant_id,
            '{{ table }} ' || currency || ', rows' as subject,
            count(*) as total
        from {{ ref(model) }}
        where {{ condition }}
        group by tenant_id, currency
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- Billed and taken back up to the reporting day, net of discounts.
entry_revenue as (

    select
        entries.tenant_id,
        entries.currency as subject,
        sum(entries.amount) as total
    from {{ ref('int_revenue_entries') }} as entries
    inner join {{ ref('int_calendar') }} as calendar on entries.booked_on = calendar.day
    group by entries.tenant_id, entries.currency

),

daily_revenue as (

    select
        tenant_id,
        currency as subject,
        sum(billed - credited) as total
    from {{ ref('fct_deferred_revenue_daily') }}
    group by tenant_id, currency

),

-- Recognised ever, and what is still deferred.
monthly_revenue as (

    select
        deferred_monthly.tenant_id,
        deferred_monthly.currency as subject,
        sum(
            deferred_monthly.recognised
            + case
                when deferred_monthly.month = {{ month_of('reporting_day.reporting_day') }}
                    then deferred_monthly.closing
                else 0
            end
        ) as total
    from {{ ref('fct_deferred_revenue_monthly') }} as deferred_monthly
    cross join reporting_day
    group by deferred_monthly.tenant_id, deferred_monthly.currency

),

{% set comparisons = [
    ('usage: raw to staging', 'raw_usage', 'staged_usage'),
    ('usage: staging to mart', 'staged_usage', 'mart_usage'),
    ('usage: mart to rollup', 'mart_usage', 'rollup_usage'),
    ('mrr: items to movements', 'item_mrr', 'ledger_mrr'),
    ('mrr: movements to month', 'ledger_mrr', 'monthly_mrr'),
    ('invoices: raw to mart', 'raw_invoices', 'mart_invoices'),
    ('money: raw to staging', 'raw_money_totals', 'staged_money_totals'),
    ('money: staging to mart', 'staged_facts', 'mart_facts'),
    ('revenue: entries to days', 'entry_revenue', 'daily_revenue'),
    ('revenue: days to months', 'daily_revenue', 'monthly_revenue'),
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
        cast(one_side as decimal(28, 6)) as one_side,
        cast(other_side as decimal(28, 6)) as other_side,
        cast(other_side - one_side as decimal(28, 6)) as difference,
        one_side <> other_side as is_break,
        cast('{{ invocation_id }}' as varchar) as run_id
    from compared

)

select * from final
