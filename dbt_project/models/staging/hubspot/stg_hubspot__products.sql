-- Grain: one row per product.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'products') }}

),

final as (

    {{ treated_hubspot__products() }}

)

select * from final
