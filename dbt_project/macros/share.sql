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
