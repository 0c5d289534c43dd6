-- Grain: one row per meter.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'meters') }}

),

final as (

    {{ treated_stripe__meters() }}

)

select * from final
