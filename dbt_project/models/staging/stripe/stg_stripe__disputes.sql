-- Grain: one row per dispute.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'disputes') }}

),

final as (

    {{ treated_stripe__disputes() }}

)

select * from final
