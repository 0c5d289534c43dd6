-- Grain: one row per payout.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'payouts') }}

),

final as (

    {{ treated_stripe__payouts() }}

)

select * from final
