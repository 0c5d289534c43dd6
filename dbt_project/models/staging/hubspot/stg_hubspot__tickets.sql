-- Grain: one row per ticket.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'tickets') }}

),

final as (

    {{ treated_hubspot__tickets() }}

)

select * from final
