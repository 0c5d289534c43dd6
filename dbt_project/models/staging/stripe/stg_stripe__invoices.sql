-- Grain: one row per invoice.
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

    select * from {{ source('raw_stripe', 'invoices') }}

),

final as (

    {{ treated_stripe__invoices() }}

)

select * from final
