-- Grain: one row per charge.
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

    select * from {{ source('raw_stripe', 'charges') }}

),

final as (

    {{ treated_stripe__charges() }}

)

select * from final
