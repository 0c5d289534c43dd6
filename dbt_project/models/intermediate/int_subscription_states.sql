-- Grain: one row per event of a subscription: what the subscription was worth a month after it.
-- Built whole on every run: a coupon or a customer that lands late changes what old events mean, and subscriptions
-- change by the thousand, not by the million.
{{ config(materialized='table') }}

with recursive

subscription_events as (

    select * from {{ ref('stg_stripe__subscription_events') }}

),

coupons as (

    select * from {{ ref('stg_stripe__coupons') }}

),

customers as (

    select * from {{ ref('stg_stripe__customers') }}

),

-- A discount that has ended is known from its events, one that is older than the account's events from its object.
discounts as (

    select
        discount_id,
        max(coupon_id) as coupon_id
    from (
        select
            discount_id,
            coupon_id
        from {{ ref('stg_stripe__discount_events') }}
        union all
        select
            id as discount_id,
            coupon as coupon_id
        from {{ ref('stg_stripe__discounts') }}
    ) as known_discounts
    group by discount_id

),

items as (

    select
        subscription_events.event_id,
        item.index as item_index,
        cast({{ json_member('item.value', 'unit_amount') }} as bigint) as unit_amount,
        -- Stripe gives no quantity for metered prices: usage is not recurring revenue.
        coalesce(cast({{ json_member('item.value', 'quantity') }} as bigint), 0) as quantity,
        {{ json_member('item.value', 'interval') }} as billing_interval,
        cast({{ json_member('item.value', 'interval_count') }} as bigint) as interval_count
    from subscription_events
    {{ unnest_json('subscription_events.items', 'item') }}

),

priced_items as (

    select
        event_id,
        billing_interval,
        interval_count,
        case
            when quantity > 0 and unit_amount is null
                then {{ raise_error("'price without unit_amount (tiered) in event ' || event_id") }}
            when quantity > 0 then {{ monthly_e12('unit_amount * quantity', 'billing_interval', 'interval_count') }}
            else 0
        end as monthly_e12,
        row_number() over (partition by event_id order by item_index) as item_number
    from items

),

list_prices as (

    select
        event_id,
        cast(sum(monthly_e12) as decimal(38, 0)) as monthly_e12,
        max(case when item_number = 1 then billing_interval end) as billing_interval,
        max(case when item_number = 1 then interval_count end) as interval_count
    from priced_items
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

forever_discounts as (

    select
        given_discounts.event_id,
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
    where coupons.duration = 'forever'

),

-- Stripe applies the discounts of a subscription one after the other, in their order.
discounted as (

    select
        event_id,
        cast(0 as bigint) as position,
        monthly_e12
    from list_prices

    union all

    select
        discounted.event_id,
        forever_discounts.position,
        cast(
            case
                when forever_discounts.amount_off_e12 is not null
                    then greatest(discounted.monthly_e12 - forever_discounts.amount_off_e12, 0)
                else
                    {{ integer_divide(
                        'discounted.monthly_e12 * (1000000 - forever_discounts.percent_off_e4)', '1000000'
                    ) }}
            end as decimal(38, 0)
        ) as monthly_e12
    from discounted
    inner join forever_discounts
        on
            discounted.event_id = forever_discounts.event_id
            and discounted.position + 1 = forever_discounts.position

),

net_prices as (

    select
        event_id,
        monthly_e12
    from discounted
    qualify row_number() over (partition by event_id order by position desc) = 1

),

final as (

    select
        subscription_events.subscription_id,
        -- Stripe stamps whole seconds: within one, creation comes first and deletion last.
        row_number() over (
            partition by subscription_events.subscription_id
            order by
                subscription_events.occurred_at,
                case subscription_events.event_type
                    when 'customer.subscription.created' then 0
                    when 'customer.subscription.deleted' then 2
                    else 1
                end,
                subscription_events.event_id
        ) as state_number,
        subscription_events.event_id,
        coalesce(customers.tenant_id, subscription_events.tenant_id) as tenant_id,
        subscription_events.customer_id,
        subscription_events.currency,
        subscription_events.occurred_at,
        subscription_events.status,
        {{ is_recurring_revenue() }} as is_counted,
        case
            when {{ is_recurring_revenue() }} then {{ rounded_minor_units('coalesce(list_prices.monthly_e12, 0)') }}
            else 0
        end as mrr_list,
        case
            when {{ is_recurring_revenue() }} then {{ rounded_minor_units('coalesce(net_prices.monthly_e12, 0)') }}
            else 0
        end as mrr_net_forever
    from subscription_events
    left join customers on subscription_events.customer_id = customers.id
    left join list_prices on subscription_events.event_id = list_prices.event_id
    left join net_prices on subscription_events.event_id = net_prices.event_id

)

select * from final
