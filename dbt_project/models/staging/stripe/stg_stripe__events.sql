-- Grain: one row per event.
{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='id',
        on_schema_change='fail',
    )
}}

with

source as (

    select * from {{ source('raw_stripe', 'events') }}

),

final as (

    {{ treated_stripe__events() }}

)

select * from final
