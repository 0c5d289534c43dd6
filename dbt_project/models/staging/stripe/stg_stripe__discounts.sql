-- Grain: one row per discount.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'discounts') }}

),

final as (

    {{ treated_stripe__discounts() }}

)

select * from final
