-- Grain: one row per company.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'companies') }}

),

final as (

    {{ treated_hubspot__companies() }}

)

select * from final
