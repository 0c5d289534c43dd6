-- Grain: one row per month, from the first with MRR to the one of the reporting day: the company's headline figures, in
-- the reporting currency. Built whole on every run, from months of customers.

with

mrr_monthly as (

    select * from {{ ref('fct_mrr_monthly') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

currency_months as (

    select
        mrr_monthly.*,
        {{ converted('mrr_monthly.mrr_leaving_end', 'fx_rates.rate') }}
            as reporting_leaving,
        -- Without a gap while a customer is paused, so the row before is the month before.
        lag(mrr_monthly.mrr_paused_end, 1, cast(0 as decimal(18, 4))) over (
            partition by mrr_monthly.customer_id, mrr_monthly.currency order by mrr_monthly.month
        ) as mrr_paused_start
    from mrr_monthly
    inner join fx_rates
        on
            mrr_monthly.currency = fx_rates.currency
            and mrr_monthly.month = fx_rates.month

),

{% set movements = ['new', 'reactivation', 'resumed', 'expansion', 'contraction', 'paused', 'churn', 'fx'] %}
customer_months as (

    select
        currency_months.customer_id,
        currency_months.month,
        sum(currency_months.reporting_start) as mrr_start,
        {% for movement in movements %}
            sum(currency_months.reporting_{{ movement }}) as mrr_{{ movement }},
        {% endfor %}
        sum(currency_months.reporting_end) as mrr_end,
        sum(currency_months.reporting_leaving) as mrr_leaving,
        sum(currency_months.mrr_start + currency_months.mrr_paused_start) > 0 as was_customer,
        sum(currency_months.mrr_end + currency_months.mrr_paused_end) > 0 as is_customer,
        sum(currency_months.mrr_end) > 0 as is_paying,
        max(case when currency_months.is_provisional then 1 else 0 end) as is_provisional
    from currency_months
    group by currency_months.customer_id, currency_months.month

),

months as (

    select
        month,
        max(is_provisional) = 1 as is_provisional,
        sum(mrr_start) as mrr_start,
        {% for movement in movements %}
            sum(mrr_{{ movement }}) as mrr_{{ movement }},
        {% endfor %}
        sum(mrr_end) as mrr_end,
        sum(mrr_leaving) as mrr_leaving,
        count(case when was_customer then 1 end) as customers_start,
        count(case when is_customer and not was_customer then 1 end) as customers_won,
        count(case when was_customer and not is_customer then 1 end) as customers_lost,
        count(case when is_customer then 1 end) as customers_end,
        count(case when is_paying then 1 end) as customers_paying
    from customer_months
    group by month

),

-- Who paid some months ago, and what they pay now: at the rates of then, so that no change of a rate is retention.
base_months as (

    select
        mrr_monthly.customer_id,
        mrr_monthly.month as base_month,
        {{ plus_months('mrr_monthly.month', var('retention_months')) }} as month,
        sum({{ converted('mrr_monthly.mrr_end', 'fx_rates.rate') }}) as mrr_then
    from mrr_monthly
    inner join fx_rates
        on
            mrr_monthly.currency = fx_rates.currency
            and mrr_monthly.month = fx_rates.month
    where mrr_monthly.mrr_end > 0
    group by mrr_monthly.customer_id, mrr_monthly.month

),

kept as (

    select
        base_months.customer_id,
        base_months.month,
        base_months.mrr_then,
        coalesce(
            sum({{ converted('mrr_monthly.mrr_end', 'fx_rates.rate') }}), 0
        ) as mrr_now
    from base_months
    left join mrr_monthly
        on
            base_months.customer_id = mrr_monthly.customer_id
            and base_months.month = mrr_monthly.month
    left join fx_rates
        on
            mrr_monthly.currency = fx_rates.currency
            and base_months.base_month = fx_rates.month
    group by base_months.customer_id, base_months.month, base_months.mrr_then

),

retention as (

    select
        month,
        sum(mrr_then) as mrr_then,
        sum(mrr_now) as mrr_now,
        sum(least(mrr_now, mrr_then)) as mrr_kept
    from kept
    group by month

),

final as (

    select
        'all' as tenant_id,
        months.month,
        months.is_provisional,
        cast('{{ var("reporting_currency") }}' as varchar) as currency,
        cast(months.mrr_start as decimal(18, 4)) as mrr_start,
        {% for movement in movements %}
            cast(months.mrr_{{ movement }} as decimal(18, 4)) as mrr_{{ movement }},
        {% endfor %}
        cast(months.mrr_end as decimal(18, 4)) as mrr_end,
        cast(12 * months.mrr_end as decimal(18, 4)) as arr,
        cast(12 * (months.mrr_end - months.mrr_leaving) as decimal(18, 4)) as contracted_arr,
        cast(months.customers_start as bigint) as customers_start,
        cast(months.customers_won as bigint) as customers_won,
        cast(months.customers_lost as bigint) as customers_lost,
        cast(months.customers_end as bigint) as customers_end,
        cast(months.customers_paying as bigint) as customers_paying,
        {{ ratio('months.mrr_churn + months.mrr_contraction', 'months.mrr_start') }} as gross_mrr_churn_rate,
        {{ ratio('months.mrr_churn + months.mrr_contraction - months.mrr_expansion', 'months.mrr_start') }}
            as net_mrr_churn_rate,
        {{ ratio('months.customers_lost', 'months.customers_start') }} as logo_churn_rate,
        {{ ratio(
            'months.mrr_new + months.mrr_reactivation + months.mrr_expansion',
            'months.mrr_churn + months.mrr_contraction',
        ) }} as quick_ratio,
        cast(coalesce(retention.mrr_then, 0) as decimal(18, 4)) as retention_base,
        cast(coalesce(retention.mrr_now, 0) as decimal(18, 4)) as retention_now,
        cast(coalesce(retention.mrr_kept, 0) as decimal(18, 4)) as retention_kept,
        {{ ratio('retention.mrr_now', 'retention.mrr_then') }} as net_revenue_retention,
        {{ ratio('retention.mrr_kept', 'retention.mrr_then') }} as gross_revenue_retention,
        cast({{ ratio('months.mrr_end', 'months.customers_paying') }} as decimal(18, 4)) as arpa,
        -- ARPA / logo churn, as one quotient: null where nobody was lost.
        cast({{ ratio(
            'cast(months.mrr_end as decimal(28, 4)) * months.customers_start * ' ~ var('gross_margin_percent'),
            '100 * months.customers_paying * months.customers_lost',
        ) }} as decimal(18, 4)) as ltv
    from months
    left join retention on months.month = retention.month

)

select * from final
