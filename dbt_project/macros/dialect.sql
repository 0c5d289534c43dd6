{# What DuckDB and Snowflake say differently. A model calls these and never asks which engine it runs on. #}


{# The UTC calendar day of a timestamp with time zone, whatever the session's time zone is. #}
{% macro utc_day(expression) -%}
    {{ return(adapter.dispatch('utc_day')(expression)) }}
{%- endmacro %}

{% macro default__utc_day(expression) -%}
    cast({{ expression }} at time zone 'UTC' as date)
{%- endmacro %}

{% macro snowflake__utc_day(expression) -%}
    cast(convert_timezone('UTC', {{ expression }}) as date)
{%- endmacro %}


{#
    What a CTE begins with that is read more than once, and each time in part: DuckDB would first set all of its rows
    aside, a whole history for the sake of a day.
#}
{% macro as_read_in_place() -%}
    {{ return(adapter.dispatch('as_read_in_place')()) }}
{%- endmacro %}

{% macro default__as_read_in_place() -%}
    as not materialized
{%- endmacro %}

{% macro snowflake__as_read_in_place() -%}
    as
{%- endmacro %}


{# A join clause: one row per element of a JSON array, as <alias>.value, in order of <alias>.index. #}
{% macro unnest_json(expression, alias) -%}
    {{ return(adapter.dispatch('unnest_json')(expression, alias)) }}
{%- endmacro %}

{% macro default__unnest_json(expression, alias) -%}
    cross join unnest(cast({{ expression }} as json[])) with ordinality as {{ alias }} (value, index)
{%- endmacro %}

{% macro snowflake__unnest_json(expression, alias) -%}
    cross join lateral flatten(input => {{ expression }}) as {{ alias }}
{%- endmacro %}


{# A JSON string as text, without its quotes. #}
{% macro json_string(expression) -%}
    {{ return(adapter.dispatch('json_string')(expression)) }}
{%- endmacro %}

{% macro default__json_string(expression) -%}
    ({{ expression }} ->> '$')
{%- endmacro %}

{% macro snowflake__json_string(expression) -%}
    {{ expression }}::varchar
{%- endmacro %}


{# Quotient of two non-negative whole numbers, rounded down, exact to 38 digits: dividing decimals would give a float. #}
{% macro integer_divide(dividend, divisor) -%}
    {{ return(adapter.dispatch('integer_divide')(dividend, divisor)) }}
{%- endmacro %}

{% macro default__integer_divide(dividend, divisor) -%}
    (cast({{ dividend }} as hugeint) // cast({{ divisor }} as hugeint))
{%- endmacro %}

{% macro snowflake__integer_divide(dividend, divisor) -%}
    cast((({{ dividend }}) - mod({{ dividend }}, {{ divisor }})) / ({{ divisor }}) as number(38, 0))
{%- endmacro %}


{# Fails the statement, saying why; stands where a number would. For input that must never be read as zero. #}
{% macro raise_error(message) -%}
    {{ return(adapter.dispatch('raise_error')(message)) }}
{%- endmacro %}

{% macro default__raise_error(message) -%}
    error({{ message }})
{%- endmacro %}

{#
    Snowflake has no function that fails: the text that is no number is quoted in the error of the cast. To one digit, so
    that the branches beside it say what type the expression has; number(38, 0) leaves a decimal no room for its places.
#}
{% macro snowflake__raise_error(message) -%}
    cast({{ message }} as number(1, 0))
{%- endmacro %}


{# The first day of the month of a day. #}
{% macro month_of(day) -%}
    cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}


{# A day some months later (earlier, where negative); where that month is shorter, its last day. #}
{% macro plus_months(day, months) -%}
    {{ return(adapter.dispatch('plus_months')(day, months)) }}
{%- endmacro %}

{% macro default__plus_months(day, months) -%}
    cast({{ day }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}

{% macro snowflake__plus_months(day, months) -%}
    cast(dateadd('month', {{ months }}, {{ day }}) as date)
{%- endmacro %}


{# Whole months from the month of one day to the month of another. #}
{% macro months_between(earlier, later) -%}
    (
        (extract(year from {{ later }}) - extract(year from {{ earlier }})) * 12
        + extract(month from {{ later }}) - extract(month from {{ earlier }})
    )
{%- endmacro %}


{# Seconds from one instant to another, null where either is. #}
{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    date_diff('second', {{ earlier }}, {{ later }})
{%- endmacro %}

{% macro snowflake__seconds_between(earlier, later) -%}
    datediff('second', {{ earlier }}, {{ later }})
{%- endmacro %}
