-- Grain: one row per coupon.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'coupons') }}

),

final as (

    {{ treated_stripe__coupons() }}

)

select * from final
