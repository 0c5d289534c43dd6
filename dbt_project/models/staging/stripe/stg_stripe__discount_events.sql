-- Grain: one row per event of a discount.
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

    {{ treated_stripe__discount_events() }}

)

select * from final
