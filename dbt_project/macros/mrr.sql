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

{# Whether a subscription in the state of this event earns: active or behind on payment, not paused, not gone. #}
{% macro is_recurring_revenue() -%}
    (
        subscription_events.status in ('active', 'past_due')
        and subscription_events.event_type <> 'customer.subscription.deleted'
        and subscription_events.pause_collection is null
    )
{%- endmacro %}
