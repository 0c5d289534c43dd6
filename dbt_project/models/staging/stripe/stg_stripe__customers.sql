-- Grain: one row per customer.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'customers') }}

),

final as (

    {{ treated_stripe__customers() }}

)

select * from final
