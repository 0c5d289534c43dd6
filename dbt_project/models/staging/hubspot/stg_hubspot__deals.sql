-- Grain: one row per deal.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'deals') }}

),

final as (

    {{ treated_hubspot__deals() }}

)

select * from final
