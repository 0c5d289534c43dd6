-- Grain: one row per subscription.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'subscriptions') }}

),

final as (

    {{ treated_stripe__subscriptions() }}

)

select * from final
