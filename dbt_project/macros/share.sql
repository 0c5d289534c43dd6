{# Part of a whole as decimal(9, 6), rounded half up in whole numbers, so that both engines agree; 0 of nothing is 0. #}
{% macro share(part, whole) -%}
    cast(
        case
            when {{ whole }} > 0
                then
                    cast({{ integer_divide("2000000 * " ~ part ~ " + " ~ whole, "2 * " ~ whole) }} as decimal(18, 0))
                    * cast(0.000001 as decimal(7, 6))
            else 0
        end as decimal(9, 6)
    )
{%- endmacro %}

{# A decimal with four places as a whole number of 10^-4, wide enough that nothing we sum up overflows. #}
{% macro e4(expression) -%}
    cast(cast({{ expression }} as decimal(34, 4)) * 10000 as decimal(38, 0))
{%- endmacro %}

{#
    Quotient of two decimals with four places as decimal(18, 6), rounded half away from zero in whole numbers; null where
    the divisor is null or not above zero.
#}
{% macro ratio(dividend, divisor) -%}
    cast(
        case
            when {{ divisor }} > 0
                then
                    case when {{ dividend }} < 0 then -1 else 1 end
                    * cast(
                        {{ integer_divide(
                            "(2000000 * abs(" ~ e4(dividend) ~ ") + " ~ e4(divisor) ~ ")", "(2 * " ~ e4(divisor) ~ ")"
                        ) }} as decimal(18, 0)
                    ) * cast(0.000001 as decimal(7, 6))
        end as decimal(18, 6)
    )
{%- endmacro %}
