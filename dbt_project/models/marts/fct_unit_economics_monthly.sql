-- Grain: one row per tenant_id and month with revenue or cost, and one for `unattributed`, which holds the cost that no
-- input tags to a tenant: nothing is spread by a key.

with

mrr_monthly as (

    select * from {{ ref('fct_mrr_monthly') }}

),

ai_usage_daily as (

    select * from {{ ref('fct_ai_usage_daily') }}

),

cost_inputs as (

    select * from {{ ref('cost_inputs') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

months as (

    select
        month,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional
    from calendar
    group by month

),

entries as (

    select
        tenant_id,
        month,
        reporting_end as revenue,
        cast(0 as decimal(18, 4)) as cost_ai,
        cast(0 as decimal(18, 4)) as cost_infrastructure,
        cast(0 as decimal(18, 4)) as cost_warehouse
    from mrr_monthly

    union all

    -- Metered per request by the product itself, in US dollars: the most direct attribution there is.
    select
        ai_usage_daily.tenant_id,
        fx_rates.month,
        0 as revenue,
        {{ converted('100 * ai_usage_daily.cost_usd', 'fx_rates.rate') }} as cost_ai,
        0 as cost_infrastructure,
        0 as cost_warehouse
    from ai_usage_daily
    inner join fx_rates
        on
            fx_rates.currency = 'usd'
            and {{ month_of('ai_usage_daily.day') }} = fx_rates.month

    union all

    select
        coalesce(cost_inputs.tenant_id, 'unattributed') as tenant_id,
        months.month,
        0 as revenue,
        case when cost_inputs.category = 'ai' then cost_inputs.amount else 0 end as cost_ai,
        case when cost_inputs.category = 'infrastructure' then cost_inputs.amount else 0 end as cost_infrastructure,
        case when cost_inputs.category = 'warehouse' then cost_inputs.amount else 0 end as cost_warehouse
    from cost_inputs
    inner join months on cost_inputs.month = months.month
    where cost_inputs.category in ('ai', 'infrastructure', 'warehouse')

),

summed as (

    select
        entries.tenant_id,
        entries.month,
        months.is_provisional,
        sum(entries.revenue) as revenue,
        sum(entries.cost_ai) as cost_ai,
        sum(entries.cost_infrastructure) as cost_infrastructure,
        sum(entries.cost_warehouse) as cost_warehouse
    from entries
    inner join months on entries.month = months.month
    group by entries.tenant_id, entries.month, months.is_provisional

),

ranked as (

    select
        *,
        cost_ai + cost_infrastructure + cost_warehouse as cost,
        sum(revenue) over (
            partition by month order by revenue desc, tenant_id asc rows between unbounded preceding and current row
        ) - revenue as revenue_of_larger,
        sum(revenue) over (partition by month) as revenue_of_all
    from summed

),

final as (

    select
        tenant_id,
        month,
        is_provisional,
        cast('{{ var("reporting_currency") }}' as varchar) as currency,
        cast(revenue as decimal(18, 4)) as revenue,
        cast(cost_ai as decimal(18, 4)) as cost_ai,
        cast(cost_infrastructure as decimal(18, 4)) as cost_infrastructure,
        cast(cost_warehouse as decimal(18, 4)) as cost_warehouse,
        cast(revenue - cost as decimal(18, 4)) as margin,
        {{ ratio('revenue - cost', 'revenue') }} as margin_share,
        -- The largest tenants until a fifth of revenue is reached: each of them needs costs of its own.
        revenue > 0 and 5 * revenue_of_larger < revenue_of_all as is_top_fifth,
        tenant_id <> 'unattributed' and cost > 0 as has_direct_cost
    from ranked

)

select * from final
