{#
    MRR in whole numbers. Amounts are held in 10^-12 minor units (suffix _e12): a twelfth, a third or 52/12 of an amount
    is cut so far behind the point that no amount Stripe can bill is moved across a rounding boundary, and no float is
    involved on either engine.
#}

{# Billing periods in a year, of an interval as Stripe names it. An interval we do not know is an error, never zero. #}
{% macro periods_per_year(interval_column) -%}
    case {{ interval_column }}
        when 'month' then 12
        when 'year' then 1
        when 'week' then 52
        when 'day' then 365
        else {{ raise_error("'unknown billing interval: ' || coalesce(" ~ interval_column ~ ", 'null')") }}
    end
{%- endmacro %}

{# An amount a billing period, in minor units → the amount a month, in 10^-12 minor units. #}
{% macro monthly_e12(amount, interval_column, interval_count) -%}
    {{ integer_divide(
        "cast(" ~ amount ~ " as decimal(38, 0)) * 1000000000000 * " ~ periods_per_year(interval_column),
        "12 * " ~ interval_count
    ) }}
{%- endmacro %}

{# 10^-12 minor units → minor units with four decimals, rounded half up; first to 10^-9, which mends what was cut off. #}
{% macro rounded_minor_units(amount_e12) -%}
    cast(
        cast({{ integer_divide(integer_divide(amount_e12 ~ " + 500", "1000") ~ " + 50000", "100000") }} as decimal(18, 0))
        * cast(0.0001 as decimal(5, 4)) as decimal(18, 4)
    )
{%- endmacro %}

{# Whether a subscription in the state of this event is in force: active or behind on payment, not gone. #}
{% macro is_in_force() -%}
    (
        subscription_events.status in ('active', 'past_due')
        and subscription_events.event_type <> 'customer.subscription.deleted'
    )
{%- endmacro %}

{# A row per item of each event in `subscription_events`, with its list price a month; a query for a CTE. #}
{% macro priced_subscription_items() -%}
    select
        event_id,
        row_number() over (partition by event_id order by item_index) as item_number,
        price_id,
        unit_amount,
        quantity,
        billing_interval,
        interval_count,
        case
            when quantity > 0 and unit_amount is null
                then {{ raise_error("'price without unit_amount (tiered) in event ' || event_id") }}
            when quantity > 0 then {{ monthly_e12('unit_amount * quantity', 'billing_interval', 'interval_count') }}
            -- Stripe gives no quantity for metered prices: usage is not recurring revenue.
            else 0
        end as list_e12
    from (
        select
            subscription_events.event_id,
            item.index as item_index,
            {{ json_member('item.value', 'price_id') }} as price_id,
            cast({{ json_member('item.value', 'unit_amount') }} as bigint) as unit_amount,
            cast({{ json_member('item.value', 'quantity') }} as bigint) as quantity,
            {{ json_member('item.value', 'interval') }} as billing_interval,
            cast({{ json_member('item.value', 'interval_count') }} as bigint) as interval_count
        from subscription_events
        {{ unnest_json('subscription_events.items', 'item') }}
    ) as items
{%- endmacro %}

{# An amount a month after the discount of a row of `priced_discounts`, never below zero; both in 10^-12 minor units. #}
{% macro discounted_e12(amount_e12) -%}
    cast(
        case
            when priced_discounts.amount_off_e12 is not null
                then greatest({{ amount_e12 }} - priced_discounts.amount_off_e12, 0)
            else
                {{ integer_divide(amount_e12 ~ " * (1000000 - priced_discounts.percent_off_e4)", "1000000") }}
        end as decimal(38, 0)
    )
{%- endmacro %}

{# The column that is MRR here, as var `mrr_basis` names it; see docs/metrics.md. #}
{% macro mrr_basis() -%}
    {%- set basis = var('mrr_basis') -%}
    {%- if basis not in ['mrr_list', 'mrr_net_forever', 'mrr_net_all'] -%}
        {{ exceptions.raise_compiler_error("var mrr_basis is " ~ basis ~ ": give mrr_list, mrr_net_forever or mrr_net_all") }}
    {%- endif -%}
    {{ basis }}
{%- endmacro %}

{#
    The part of a whole that falls to one of several, in proportion to `weight` and in order, so that the parts add up
    to the whole to the last digit: what falls to all up to this one less what falls to all before it. Decimals with
    four places; `running` is the sum of weights up to and with this one, `total` the sum of all.
#}
{% macro apportioned(whole, weight, running, total) -%}
    case
        when {{ total }} = 0 then 0
        else
            cast(
                {{ apportioned_e4(whole, running, total) }}
                - {{ apportioned_e4(whole, "(" ~ running ~ " - " ~ weight ~ ")", total) }} as decimal(18, 0)
            ) * cast(0.0001 as decimal(5, 4))
    end
{%- endmacro %}

{% macro apportioned_e4(whole, upto, total) -%}
    {{ integer_divide("(2 * " ~ e4(whole) ~ " * " ~ e4(upto) ~ " + " ~ e4(total) ~ ")", "(2 * " ~ e4(total) ~ ")") }}
{%- endmacro %}

{# An amount with four decimals at a rate of `fx_rates`, rounded half up. #}
{% macro converted(amount, rate) -%}
    cast(cast({{ amount }} as decimal(28, 4)) * {{ rate }} as decimal(18, 4))
{%- endmacro %}
