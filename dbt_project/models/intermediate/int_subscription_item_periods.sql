-- Grain: one row per subscription_id, item_number and valid_from: an item of a subscription while nothing about it or
-- its subscription changed. Every mart of recurring revenue is made of this: an adopter maps their own billing to it.
{{ config(materialized='table') }}

with

subscription_states as (

    select * from {{ ref('int_subscription_states') }}

),

subscription_events as (

    select * from {{ ref('stg_stripe__subscription_events') }}

),

items as (

    {{ priced_subscription_items() }}

),

-- What an item is worth at its list price; the subscription's figures are apportioned to its items by that.
weighted_items as (

    select
        event_id,
        item_number,
        price_id,
        unit_amount,
        quantity,
        billing_interval,
        interval_count,
        weight,
        sum(weight) over (
            partition by event_id order by item_number rows between unbounded preceding and current row
        ) as running_weight,
        sum(weight) over (partition by event_id) as total_weight
    from (
        select
            event_id,
            item_number,
            price_id,
            unit_amount,
            quantity,
            billing_interval,
            interval_count,
            {{ rounded_minor_units('list_e12') }} as weight
        from items
    ) as rounded_items

),

final as (

    select
        subscription_states.tenant_id,
        subscription_states.customer_id,
        subscription_states.subscription_id,
        cast(weighted_items.item_number as bigint) as item_number,
        weighted_items.price_id,
        subscription_states.valid_from,
        subscription_states.valid_to,
        subscription_states.status,
        subscription_states.is_counted,
        subscription_states.is_paused,
        subscription_states.is_ended,
        subscription_states.currency,
        weighted_items.unit_amount,
        weighted_items.quantity,
        weighted_items.billing_interval,
        weighted_items.interval_count,
        weighted_items.quantity is null as is_metered,
        {% for figure in ['mrr_list', 'mrr_net_forever', 'mrr_net_all', 'mrr_paused'] %}
            cast(
                {{ apportioned(
                    'subscription_states.' ~ figure,
                    'weighted_items.weight',
                    'weighted_items.running_weight',
                    'weighted_items.total_weight',
                ) }} as decimal(18, 4)
            ) as {{ figure }},
        {% endfor %}
        subscription_states.trial_end,
        subscription_states.cancel_requested_at,
        subscription_states.ended_at,
        subscription_states.event_id
    from subscription_states
    inner join weighted_items on subscription_states.event_id = weighted_items.event_id
    -- What another event of the same second replaced was never in force.
    where
        subscription_states.valid_to > subscription_states.valid_from
        or subscription_states.valid_to is null

)

select * from final
