-- Grain: one row per subscription schedule.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'subscription_schedules') }}

),

final as (

    {{ treated_stripe__subscription_schedules() }}

)

select * from final
