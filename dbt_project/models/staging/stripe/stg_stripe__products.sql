-- Grain: one row per product.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'products') }}

),

final as (

    {{ treated_stripe__products() }}

)

select * from final
