-- Grain: one row per user of the portal.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'owners') }}

),

final as (

    {{ treated_hubspot__owners() }}

)

select * from final
