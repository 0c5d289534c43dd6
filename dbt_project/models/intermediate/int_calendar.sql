-- Grain: one row per UTC day, from var `calendar_start` to the reporting day.
{{ config(materialized='table') }}

with

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

digits as (

    {% for digit in range(10) -%}
        select {{ digit }} as digit
        {%- if not loop.last %}
            union all
        {%- endif %}
    {% endfor %}

),

days as (

    select
        cast('{{ var("calendar_start") }}' as date)
        + cast(
            ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit as integer
        ) as day
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    cross join digits as thousands

),

final as (

    select
        days.day,
        {{ month_of('days.day') }} as month,
        days.day = {{ plus_months(month_of('days.day'), 1) }} - 1 as is_month_end,
        -- A month is open until a later one has begun.
        {{ month_of('days.day') }} = {{ month_of('reporting_day.reporting_day') }} as is_provisional
    from days
    cross join reporting_day
    where days.day <= reporting_day.reporting_day

)

select * from final
