-- Grain: one row per event of a subscription.
{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='event_id',
        on_schema_change='fail',
    )
}}

with

source as (

    select * from {{ source('raw_stripe', 'events') }}

),

final as (

    {{ treated_stripe__subscription_events() }}

)

select * from final
