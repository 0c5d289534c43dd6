-- Grain: one row per comparison, tenant_id and subject: what one layer says beside what the next one does. A break is a
-- row whose sides differ.
-- Usage is compared over all of history when the project is built anew, and when var `reconcile_all_usage` says so.
-- A daily build compares the months that are restated in the ordinary way, this one and the last, and one month before
-- them, another one each day. What else is here is always compared over all of history, because it is short.

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

{% set usage = [
    ('workflows', 'workflow_runs', 'started_at', 'count(*)', 'workflow_runs'),
    ('tasks', 'tasks', 'completed_at', 'count(*)', 'tasks_completed'),
    ('comments', 'comments', 'created_at', 'count(*)', 'comments'),
    ('api', 'api_requests', 'occurred_at', 'count(*)', 'api_requests'),
    ('ai', 'ai_requests', 'occurred_at', 'count(*)', 'ai_requests'),
    ('ai cost', 'ai_requests', 'occurred_at', 'sum(ai_requests.cost_usd)', 'ai_cost_usd'),
] %}
{# Two joins of one row each, not one of two: an engine skips what lies outside of a range, not between two. #}
{% set windows = ['recent', 'in_turn'] %}
{% set of_all_history = var('reconcile_all_usage') or is_built_anew() %}
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
        {% if of_all_history %}
            cast('0001-01-01' as date) as first_day,
        {% else %}
            {{ plus_months('month', -1) }} as first_day,
        {% endif %}
        cast('9999-01-01' as date) as last_day
    from reckoned

),

in_turn as (

    select
        {{ plus_months('month', '-(2 + mod(turn, greatest(earlier_months - 1, 1)))') }} as first_day,
        {{ plus_months('month', '-(1 + mod(turn, greatest(earlier_months - 1, 1)))') }} - 1 as last_day
    from reckoned
    where {{ 'false' if of_all_history else 'true' }}

),

windows as (

    select * from recent
    union all
    select * from in_turn

),

raw_usage as (

    {% for subject, table, time, raw_total, measure in usage %}
        select
            cast(tenant_id as varchar) as tenant_id,
            '{{ subject }}' as subject,
            sum(total) as total
        from (
            {% for window in windows %}
                select
                    {{ table }}.tenant_id,
                    {{ raw_total }} as total
                from {{ source('raw_app', table) }} as {{ table }}
                inner join {{ window }} as reconciled
                    on
                        {{ table }}.{{ time }} >= {{ from_utc('cast(reconciled.first_day as timestamp)') }}
                        and {{ table }}.{{ time }} < {{ from_utc('cast(reconciled.last_day + 1 as timestamp)') }}
                where {{ table }}._ab_cdc_deleted_at is null
                group by {{ table }}.tenant_id
                {% if not loop.last %}union all{% endif %}
            {% endfor %}
        ) as counted
        group by cast(tenant_id as varchar)
        having sum(total) > 0
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

staged_by_feature as (

    select
        tenant_id,
        subject,
        sum(total) as total,
        sum(cost) as cost
    from (
        {% for window in windows %}
            select
                usage_events.tenant_id,
                usage_events.feature as subject,
                count(*) as total,
                sum(usage_events.ai_cost_usd) as cost
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

staged_usage as (

    select
        tenant_id,
        subject,
        total
    from staged_by_feature
    union all
    select
        tenant_id,
        'ai cost' as subject,
        cost as total
    from staged_by_feature
    where subject = 'ai' and cost > 0

),

{% for name, layer in {'mart_usage': 'usage_daily', 'rollup_usage': 'rollup_daily'}.items() %}
    {{ name }} as (

        {% for subject, table, time, raw_total, measure in usage %}
            select
                {{ layer }}.tenant_id,
                '{{ subject }}' as subject,
                sum({{ layer }}.{{ measure }}) as total
            from {{ layer }}
            inner join windows on {{ layer }}.day between windows.first_day and windows.last_day
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
        {{ 'true' if of_all_history else 'false' }} or not starts_with(comparison, 'usage: ') as is_of_all_history,
        cast('{{ invocation_id }}' as varchar) as run_id
    from compared

)

select * from final
