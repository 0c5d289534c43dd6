-- Grain: one row per meter, customer and day.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'meter_event_summaries') }}

),

final as (

    {{ treated_stripe__meter_event_summaries() }}

)

select * from final
