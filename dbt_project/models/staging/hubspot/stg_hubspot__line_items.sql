-- Grain: one row per item of a deal.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'line_items') }}

),

final as (

    {{ treated_hubspot__line_items() }}

)

select * from final
