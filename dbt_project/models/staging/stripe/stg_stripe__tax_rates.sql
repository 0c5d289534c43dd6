-- Grain: one row per tax rate.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'tax_rates') }}

),

final as (

    {{ treated_stripe__tax_rates() }}

)

select * from final
