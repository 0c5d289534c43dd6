-- Grain: one row per tenant_id, customer_id, currency and day (UTC) at whose end the customer's MRR differs from the
-- day before.
-- Built whole on every run: a movement depends on all of its customer's history, which is short.

with

subscription_states as (

    select * from {{ ref('int_subscription_states') }}

),

-- What a subscription was worth at the end of each day on which something happened to it.
subscription_days as (

    select
        tenant_id,
        customer_id,
        currency,
        subscription_id,
        {{ utc_day('occurred_at') }} as day,
        mrr_net_forever
    from subscription_states
    qualify
        row_number() over (
            partition by subscription_id, {{ utc_day('occurred_at') }} order by state_number desc
        ) = 1

),

subscription_changes as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        mrr_net_forever
        - lag(mrr_net_forever, 1, cast(0 as decimal(18, 4))) over (
            partition by subscription_id order by day
        ) as mrr_change
    from subscription_days

),

customer_changes as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        sum(mrr_change) as mrr_change
    from subscription_changes
    group by tenant_id, customer_id, currency, day
    having sum(mrr_change) <> 0

),

running as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        mrr_change,
        sum(mrr_change) over (
            partition by customer_id, currency
            order by day
            rows between unbounded preceding and current row
        ) as mrr_after,
        row_number() over (partition by customer_id, currency order by day) as movement_number
    from customer_changes

),

final as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        case
            when movement_number = 1 then 'new'
            when mrr_after = mrr_change then 'reactivation'
            when mrr_after = 0 then 'churn'
            when mrr_change > 0 then 'expansion'
            else 'contraction'
        end as movement_type,
        cast(mrr_after - mrr_change as decimal(18, 4)) as mrr_before,
        cast(mrr_after as decimal(18, 4)) as mrr_after,
        cast(mrr_change as decimal(18, 4)) as mrr_change
    from running

)

select * from final
