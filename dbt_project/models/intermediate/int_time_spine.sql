-- Grain: one row per UTC day of the calendar, under the name that the semantic layer wants of it.
{{ config(materialized='view') }}

with

calendar as (

    select * from {{ ref('int_calendar') }}

),

final as (

    select day as date_day
    from calendar

)

select * from final
