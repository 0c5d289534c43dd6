-- Grain: one row per state of a subscription: what it was worth a month after an event, or after a discount ran out.
-- Built whole on every run: a coupon or a customer that lands late changes what old events mean, and subscriptions
-- change by the thousand, not by the million.
{{ config(materialized='table') }}

with recursive

all_subscription_events as (

    select * from {{ ref('stg_stripe__subscription_events') }}

),

coupons as (

    select * from {{ ref('stg_stripe__coupons') }}

),

customer_tenants as (

    select
        external_id as customer_id,
        tenant_id
    from {{ ref('int_tenant_matches') }}
    where system = 'stripe'

),

-- A discount that has ended is known from its events, one that is older than the account's events from its object.
discounts as (

    select
        discount_id,
        max(coupon_id) as coupon_id,
        max(ends_at) as ends_at
    from (
        select
            discount_id,
            coupon_id,
            ends_at
        from {{ ref('stg_stripe__discount_events') }}
        union all
        select
            id as discount_id,
            coupon as coupon_id,
            ends_at
        from {{ ref('stg_stripe__discounts') }}
    ) as known_discounts
    group by discount_id

),

-- Stripe stamps whole seconds: within one, creation comes first and deletion last.
subscription_events as (

    select
        *,
        row_number() over (
            partition by subscription_id
            order by
                occurred_at,
                case event_type
                    when 'customer.subscription.created' then 0
                    when 'customer.subscription.deleted' then 2
                    else 1
                end,
                event_id
        ) as event_number
    from all_subscription_events

),

items as (

    {{ priced_subscription_items() }}

),

list_prices as (

    select
        event_id,
        cast(sum(list_e12) as decimal(38, 0)) as list_e12,
        max(case when item_number = 1 then billing_interval end) as billing_interval,
        max(case when item_number = 1 then interval_count end) as interval_count
    from items
    group by event_id

),

given_discounts as (

    select
        subscription_events.event_id,
        {{ json_string('discount.value') }} as discount_id,
        discount.index as discount_index
    from subscription_events
    {{ unnest_json('subscription_events.discounts', 'discount') }}

),

priced_discounts as (

    select
        given_discounts.event_id,
        coupons.duration,
        discounts.ends_at,
        cast(coupons.percent_off * 10000 as decimal(18, 0)) as percent_off_e4,
        case
            when coupons.amount_off is not null
                then
                    {{ monthly_e12(
                        'coupons.amount_off', 'list_prices.billing_interval', 'list_prices.interval_count'
                    ) }}
        end as amount_off_e12,
        row_number() over (partition by given_discounts.event_id order by given_discounts.discount_index) as position
    from given_discounts
    inner join discounts on given_discounts.discount_id = discounts.discount_id
    inner join coupons on discounts.coupon_id = coupons.id
    inner join list_prices on given_discounts.event_id = list_prices.event_id

),

event_spans as (

    select
        event_id,
        event_number,
        occurred_at,
        lead(occurred_at) over (partition by subscription_id order by event_number) as next_occurred_at
    from subscription_events

),

-- A state begins with an event, or where a discount that an event told of ends before the next event.
state_starts as (

    select
        event_id,
        event_number,
        occurred_at as valid_from,
        true as is_event
    from event_spans

    union all

    select distinct
        event_spans.event_id,
        event_spans.event_number,
        priced_discounts.ends_at as valid_from,
        false as is_event
    from event_spans
    inner join priced_discounts on event_spans.event_id = priced_discounts.event_id
    where
        priced_discounts.ends_at > event_spans.occurred_at
        and (priced_discounts.ends_at < event_spans.next_occurred_at or event_spans.next_occurred_at is null)

),

-- Stripe applies the discounts of a subscription one after the other, in their order.
discounted as (

    select
        state_starts.event_id,
        state_starts.valid_from,
        cast(0 as bigint) as position,
        list_prices.list_e12 as net_forever_e12,
        list_prices.list_e12 as net_all_e12
    from state_starts
    inner join list_prices on state_starts.event_id = list_prices.event_id

    union all

    select
        discounted.event_id,
        discounted.valid_from,
        priced_discounts.position,
        case
            when priced_discounts.duration = 'forever' then {{ discounted_e12('discounted.net_forever_e12') }}
            else discounted.net_forever_e12
        end as net_forever_e12,
        case
            when priced_discounts.ends_at is null or priced_discounts.ends_at > discounted.valid_from
                then {{ discounted_e12('discounted.net_all_e12') }}
            else discounted.net_all_e12
        end as net_all_e12
    from discounted
    inner join priced_discounts
        on
            discounted.event_id = priced_discounts.event_id
            and discounted.position + 1 = priced_discounts.position

),

net_prices as (

    select
        event_id,
        valid_from,
        net_forever_e12,
        net_all_e12
    from discounted
    qualify row_number() over (partition by event_id, valid_from order by position desc) = 1

),

states as (

    select
        subscription_events.subscription_id,
        subscription_events.event_id,
        state_starts.event_number,
        state_starts.valid_from,
        state_starts.is_event,
        coalesce(customer_tenants.tenant_id, subscription_events.tenant_id) as tenant_id,
        subscription_events.customer_id,
        subscription_events.currency,
        subscription_events.status,
        {{ is_in_force() }} and subscription_events.pause_collection is null as is_counted,
        {{ is_in_force() }} and subscription_events.pause_collection is not null as is_paused,
        subscription_events.event_type = 'customer.subscription.deleted' as is_ended,
        subscription_events.trial_end,
        subscription_events.canceled_at as cancel_requested_at,
        subscription_events.ended_at,
        {{ rounded_minor_units('coalesce(list_prices.list_e12, 0)') }} as price_list,
        {{ rounded_minor_units('coalesce(net_prices.net_forever_e12, 0)') }} as price_net_forever,
        {{ rounded_minor_units('coalesce(net_prices.net_all_e12, 0)') }} as price_net_all
    from state_starts
    inner join subscription_events on state_starts.event_id = subscription_events.event_id
    left join customer_tenants on subscription_events.customer_id = customer_tenants.customer_id
    left join list_prices on state_starts.event_id = list_prices.event_id
    left join net_prices
        on
            state_starts.event_id = net_prices.event_id
            and state_starts.valid_from = net_prices.valid_from

),

final as (

    select
        tenant_id,
        customer_id,
        subscription_id,
        row_number() over (partition by subscription_id order by event_number, valid_from) as state_number,
        event_id,
        is_event,
        valid_from,
        lead(valid_from) over (partition by subscription_id order by event_number, valid_from) as valid_to,
        currency,
        status,
        is_counted,
        is_paused,
        is_ended,
        trial_end,
        cancel_requested_at,
        ended_at,
        case when is_counted then price_list else 0 end as mrr_list,
        case when is_counted then price_net_forever else 0 end as mrr_net_forever,
        case when is_counted then price_net_all else 0 end as mrr_net_all,
        case when is_paused then {{ 'price_' ~ mrr_basis()[4:] }} else 0 end as mrr_paused
    from states

)

select * from final
