{#
    A whole amount of minor units (of either sign) times part / total, rounded half away from zero, in whole numbers.
    Differences of it at consecutive parts add up to the whole. `total` is above zero.
#}
{% macro prorated(amount, part, total) -%}
    {%- set product = "cast(" ~ amount ~ " as decimal(38, 0)) * cast(" ~ part ~ " as decimal(38, 0))" -%}
    cast(
        case when {{ product }} < 0 then -1 else 1 end
        * {{ integer_divide("(2 * abs(" ~ product ~ ") + " ~ total ~ ")", "(2 * " ~ total ~ ")") }} as bigint
    )
{%- endmacro %}

{# What of a row of `entries` is recognised by the end of a day: straight line over its days of service. #}
{% macro recognised_by(day) -%}
    {%- set elapsed = "greatest(least(" ~ day ~ " - entries.service_start + 1, entries.service_days), 0)" -%}
    {{ prorated("entries.amount", elapsed, "entries.service_days") }}
{%- endmacro %}
