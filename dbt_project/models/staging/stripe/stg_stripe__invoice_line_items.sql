-- Grain: one row per line of an invoice.
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

    select * from {{ source('raw_stripe', 'invoice_line_items') }}

),

final as (

    {{ treated_stripe__invoice_line_items() }}

)

select * from final
