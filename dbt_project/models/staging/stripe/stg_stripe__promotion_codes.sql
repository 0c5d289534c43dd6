-- Grain: one row per promotion code.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'promotion_codes') }}

),

final as (

    {{ treated_stripe__promotion_codes() }}

)

select * from final
