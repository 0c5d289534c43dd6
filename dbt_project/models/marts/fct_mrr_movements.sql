-- Grain: one row per customer_id, currency, day (UTC) and movement_type: what the customer's MRR did on the day.
-- Built whole on every run: a movement depends on all of its customer's history, which is short.

with

customer_days as (

    select * from {{ ref('int_customer_mrr_days') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

steps as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        {{ mrr_basis() }} as mrr_after,
        lag({{ mrr_basis() }}, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by day
        ) as mrr_before,
        mrr_paused as paused_after,
        lag(mrr_paused, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by day
        ) as paused_before,
        cancel_requested_at,
        next_day
    from customer_days

),

-- What the customer was worth when they last were worth anything, before the day.
remembered as (

    select
        *,
        last_value(case when mrr_after > 0 then mrr_after end ignore nulls) over (
            partition by customer_id, currency
            order by day
            rows between unbounded preceding and 1 preceding
        ) as last_positive
    from steps

),

typed as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        2 as position,
        case
            when mrr_before = 0 and last_positive is null then 'new'
            when mrr_before = 0 and paused_before > 0 then 'resumed'
            when mrr_before = 0 then 'reactivation'
            when mrr_after = 0 and paused_after > 0 then 'paused'
            when mrr_after = 0 then 'churn'
            when mrr_after > mrr_before then 'expansion'
            else 'contraction'
        end as movement_type,
        mrr_before,
        mrr_after,
        cancel_requested_at
    from remembered
    where mrr_before <> mrr_after

    union all

    -- Who is paused and leaves is resumed and churns: their leaving is never hidden in a pause.
    select
        tenant_id,
        customer_id,
        currency,
        day,
        1 as position,
        'resumed' as movement_type,
        mrr_before,
        last_positive as mrr_after,
        null as cancel_requested_at
    from remembered
    where mrr_before = 0 and mrr_after = 0 and paused_before > 0 and paused_after = 0 and last_positive is not null

    union all

    select
        tenant_id,
        customer_id,
        currency,
        day,
        2 as position,
        'churn' as movement_type,
        last_positive as mrr_before,
        mrr_after,
        cancel_requested_at
    from remembered
    where mrr_before = 0 and mrr_after = 0 and paused_before > 0 and paused_after = 0 and last_positive is not null

    union all

    -- What is held when a month begins is worth something else in the reporting currency from then on.
    select
        steps.tenant_id,
        steps.customer_id,
        steps.currency,
        fx_rates.month as day,
        0 as position,
        'fx' as movement_type,
        steps.mrr_after as mrr_before,
        steps.mrr_after,
        null as cancel_requested_at
    from steps
    inner join fx_rates
        on
            steps.currency = fx_rates.currency
            and steps.day < fx_rates.month
            and (steps.next_day >= fx_rates.month or steps.next_day is null)
    where
        steps.mrr_after > 0
        and fx_rates.rate <> fx_rates.rate_before

),

-- Each movement at the rate of its month; what is held stands at the rate of the last movement, so changes add up.
converted as (

    select
        typed.*,
        case
            when fx_rates.rate is null
                then
                    {{ raise_error("'no rate in fx_rates: ' || typed.currency || ', ' || typed.day") }}
            else {{ converted('typed.mrr_after', 'fx_rates.rate') }}
        end as reporting_after
    from typed
    left join fx_rates
        on
            typed.currency = fx_rates.currency
            and {{ month_of('typed.day') }} = fx_rates.month

),

chained as (

    select
        *,
        lag(reporting_after, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by day, position
        ) as reporting_before
    from converted

),

final as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        movement_type,
        cast(row_number() over (partition by customer_id, currency order by day, position) as bigint)
            as movement_number,
        mrr_before,
        mrr_after,
        cast(mrr_after - mrr_before as decimal(18, 4)) as mrr_change,
        cast('{{ var("reporting_currency") }}' as varchar) as reporting_currency,
        reporting_before,
        reporting_after,
        cast(reporting_after - reporting_before as decimal(18, 4)) as reporting_change,
        case when movement_type = 'churn' then cancel_requested_at end as cancel_requested_at
    from chained

)

select * from final
