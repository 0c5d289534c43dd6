-- Grain: one row per association of two records and type.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'associations') }}

),

final as (

    {{ treated_hubspot__associations() }}

)

select * from final
