-- Grain: one row per customer_id, currency and day (UTC) at whose end the customer has a subscription that is worth
-- anything at list price, is paused, or changed on the day.
-- Built whole on every run: it is as long as customers times days, and joins two short tables.

with

customer_days as (

    select * from {{ ref('int_customer_mrr_days') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

final as (

    select
        customer_days.tenant_id,
        customer_days.customer_id,
        customer_days.currency,
        calendar.day,
        calendar.is_provisional,
        customer_days.{{ mrr_basis() }} as mrr,
        customer_days.mrr_list,
        customer_days.mrr_net_forever,
        customer_days.mrr_net_all,
        customer_days.mrr_paused,
        customer_days.mrr_leaving
    from customer_days
    inner join calendar
        on
            customer_days.day <= calendar.day
            and (customer_days.next_day > calendar.day or customer_days.next_day is null)
    where
        customer_days.mrr_list > 0
        or customer_days.mrr_paused > 0
        or customer_days.day = calendar.day

)

select * from final
