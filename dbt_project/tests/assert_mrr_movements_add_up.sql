-- Start + movements = end, for every customer and currency: each movement starts where the last one ended, the first
-- one at zero, and the last one ends at what the customer's subscriptions are worth now, in both currencies.
{{ config(meta={'dagster': {'ref': {'name': 'fct_mrr_movements'}}}) }}

with

movements as (

    select
        customer_id,
        currency,
        mrr_before,
        mrr_after,
        mrr_change,
        lag(mrr_after, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by movement_number
        ) as mrr_end_of_last_movement,
        reporting_before,
        reporting_after,
        reporting_change,
        lag(reporting_after, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by movement_number
        ) as reporting_end_of_last_movement
    from {{ ref('fct_mrr_movements') }}

),

subscriptions_now as (

    select
        subscription_states.customer_id,
        subscription_states.currency,
        subscription_states.{{ mrr_basis() }} as mrr
    from {{ ref('int_subscription_states') }} as subscription_states
    cross join {{ ref('int_reporting_day') }} as reporting_day
    where {{ utc_day('subscription_states.valid_from') }} <= reporting_day.reporting_day
    qualify
        row_number() over (
            partition by subscription_states.subscription_id order by subscription_states.state_number desc
        ) = 1

),

customers_now as (

    select
        customer_id,
        currency,
        sum(mrr) as mrr_now
    from subscriptions_now
    group by customer_id, currency

),

customers_by_movements as (

    select
        customer_id,
        currency,
        sum(mrr_change) as mrr_moved
    from movements
    group by customer_id, currency

)

select
    'movement' as part,
    customer_id,
    currency,
    mrr_before + mrr_change as expected,
    mrr_after as found
from movements
where
    mrr_before <> mrr_end_of_last_movement
    or mrr_before + mrr_change <> mrr_after

union all

select
    'movement in the reporting currency' as part,
    customer_id,
    currency,
    reporting_before + reporting_change as expected,
    reporting_after as found
from movements
where
    reporting_before <> reporting_end_of_last_movement
    or reporting_before + reporting_change <> reporting_after

union all

select
    'end' as part,
    customers_now.customer_id,
    customers_now.currency,
    customers_now.mrr_now as expected,
    coalesce(customers_by_movements.mrr_moved, 0) as found
from customers_now
left join customers_by_movements
    on
        customers_now.customer_id = customers_by_movements.customer_id
        and customers_now.currency = customers_by_movements.currency
where customers_now.mrr_now <> coalesce(customers_by_movements.mrr_moved, 0)
