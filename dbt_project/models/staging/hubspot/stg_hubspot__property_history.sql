-- Grain: one row per value that a property of a record took.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'property_history') }}

),

final as (

    {{ treated_hubspot__property_history() }}

)

select * from final
