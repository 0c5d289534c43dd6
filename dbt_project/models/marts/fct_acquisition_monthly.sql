-- Grain: one row per month with customers: what it cost to win them, and how long they take to pay that back.

with

metrics_monthly as (

    select * from {{ ref('fct_saas_metrics_monthly') }}

),

cost_inputs as (

    select * from {{ ref('cost_inputs') }}

),

costs as (

    select
        month,
        sum(amount) as amount
    from cost_inputs
    where category = 'sales_marketing'
    group by month

),

final as (

    select
        'all' as tenant_id,
        metrics_monthly.month,
        metrics_monthly.is_provisional,
        metrics_monthly.currency,
        cast(costs.amount as decimal(18, 4)) as sales_marketing_cost,
        metrics_monthly.customers_won,
        metrics_monthly.mrr_new,
        cast({{ ratio('costs.amount', 'metrics_monthly.customers_won') }} as decimal(18, 4)) as cac,
        -- Months of the new customers' MRR, at gross margin, that the month's cost comes to.
        {{ ratio('100 * costs.amount', 'metrics_monthly.mrr_new * ' ~ var('gross_margin_percent')) }}
            as cac_payback_months
    from metrics_monthly
    left join costs on metrics_monthly.month = costs.month

)

select * from final
