-- Grain: one row per record that was merged into another.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'merges') }}

),

final as (

    {{ treated_hubspot__merges() }}

)

select * from final
