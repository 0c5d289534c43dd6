-- Grain: one row per balance transaction.
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

    select * from {{ source('raw_stripe', 'balance_transactions') }}

),

final as (

    {{ treated_stripe__balance_transactions() }}

)

select * from final
