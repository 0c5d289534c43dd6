-- Grain: one row per payment intent.
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

    select * from {{ source('raw_stripe', 'payment_intents') }}

),

final as (

    {{ treated_stripe__payment_intents() }}

)

select * from final
