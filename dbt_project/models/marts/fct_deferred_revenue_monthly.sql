-- Grain: one row per customer_id, currency and month in which anything is deferred, billed, taken back or recognised.
-- opening + billed - credited - recognised = closing, to the cent, in every row: months are sums of days.

with

deferred_daily as (

    select * from {{ ref('fct_deferred_revenue_daily') }}

),

final as (

    select
        tenant_id,
        customer_id,
        currency,
        {{ month_of('day') }} as month,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional,
        cast(min_by(opening, day) as bigint) as opening,
        cast(sum(billed) as bigint) as billed,
        cast(sum(credited) as bigint) as credited,
        cast(sum(recognised) as bigint) as recognised,
        cast(max_by(closing, day) as bigint) as closing
    from deferred_daily
    group by tenant_id, customer_id, currency, {{ month_of('day') }}

)

select * from final
