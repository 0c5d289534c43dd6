-- The figures of a subscription's items add up to the subscription's, to the last digit, and MRR of a day is the sum of
-- the items in force when it ended.
{{ config(meta={'dagster': {'ref': {'name': 'int_subscription_item_periods'}}}) }}

with

item_periods as (

    select * from {{ ref('int_subscription_item_periods') }}

),

by_items as (

    select
        subscription_id,
        valid_from,
        sum(mrr_list) as mrr_list,
        sum(mrr_net_forever) as mrr_net_forever,
        sum(mrr_net_all) as mrr_net_all,
        sum(mrr_paused) as mrr_paused
    from item_periods
    group by subscription_id, valid_from

),

last_days as (

    select
        customer_id,
        currency,
        day,
        mrr
    from {{ ref('fct_mrr_daily') }}
    qualify row_number() over (partition by customer_id, currency order by day desc) = 1

),

by_days as (

    select
        last_days.customer_id,
        last_days.currency,
        last_days.day,
        last_days.mrr,
        coalesce(sum(item_periods.{{ mrr_basis() }}), 0) as mrr_of_items
    from last_days
    left join item_periods
        on
            last_days.customer_id = item_periods.customer_id
            and last_days.currency = item_periods.currency
            and {{ utc_day('item_periods.valid_from') }} <= last_days.day
            and ({{ utc_day('item_periods.valid_to') }} > last_days.day or item_periods.valid_to is null)
    group by last_days.customer_id, last_days.currency, last_days.day, last_days.mrr

)

select
    by_items.subscription_id as name,
    subscription_states.mrr_net_forever as expected,
    by_items.mrr_net_forever as found
from by_items
inner join {{ ref('int_subscription_states') }} as subscription_states
    on
        by_items.subscription_id = subscription_states.subscription_id
        and by_items.valid_from = subscription_states.valid_from
        and (subscription_states.valid_to > subscription_states.valid_from or subscription_states.valid_to is null)
where
    by_items.mrr_list <> subscription_states.mrr_list
    or by_items.mrr_net_forever <> subscription_states.mrr_net_forever
    or by_items.mrr_net_all <> subscription_states.mrr_net_all
    or by_items.mrr_paused <> subscription_states.mrr_paused

union all

select
    customer_id as name,
    mrr_of_items as expected,
    mrr as found
from by_days
where mrr_of_items <> mrr
