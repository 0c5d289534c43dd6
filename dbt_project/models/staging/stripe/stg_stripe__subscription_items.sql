-- Grain: one row per subscription item.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'subscription_items') }}

),

final as (

    {{ treated_stripe__subscription_items() }}

)

select * from final
