-- Grain: one row per price.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'prices') }}

),

final as (

    {{ treated_stripe__prices() }}

)

select * from final
