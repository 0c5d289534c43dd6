-- Grain: one row per cohort_month and month: of the customers whose first MRR ever was in cohort_month, who and how
-- much is left when the month ends, in the reporting currency.

with

mrr_monthly as (

    select * from {{ ref('fct_mrr_monthly') }}

),

movements as (

    select * from {{ ref('fct_mrr_movements') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

-- A customer who begins to pay in a second currency is not a new one.
cohorts as (

    select
        customer_id,
        {{ month_of('min(day)') }} as cohort_month
    from movements
    where movement_type = 'new'
    group by customer_id

),

months as (

    select
        month,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional
    from calendar
    group by month

),

customer_months as (

    select
        cohorts.customer_id,
        cohorts.cohort_month,
        months.month,
        months.is_provisional,
        coalesce(sum(mrr_monthly.reporting_end), 0) as mrr_end
    from cohorts
    inner join months on cohorts.cohort_month <= months.month
    left join mrr_monthly
        on
            cohorts.customer_id = mrr_monthly.customer_id
            and months.month = mrr_monthly.month
    group by cohorts.customer_id, cohorts.cohort_month, months.month, months.is_provisional

),

cohort_months as (

    select
        cohort_month,
        month,
        is_provisional,
        count(*) as customers,
        count(case when mrr_end > 0 then 1 end) as customers_retained,
        sum(mrr_end) as mrr_retained
    from customer_months
    group by cohort_month, month, is_provisional

),

measured as (

    select
        *,
        first_value(mrr_retained) over (partition by cohort_month order by month) as mrr_first
    from cohort_months

),

final as (

    select
        'all' as tenant_id,
        cohort_month,
        month,
        is_provisional,
        cast({{ months_between('cohort_month', 'month') }} as bigint) as months_since,
        cast(customers as bigint) as customers,
        cast(customers_retained as bigint) as customers_retained,
        {{ ratio('customers_retained', 'customers') }} as logo_retention,
        cast('{{ var("reporting_currency") }}' as varchar) as currency,
        cast(mrr_first as decimal(18, 4)) as mrr_first,
        cast(mrr_retained as decimal(18, 4)) as mrr_retained,
        {{ ratio('mrr_retained', 'mrr_first') }} as revenue_retention
    from measured

)

select * from final
