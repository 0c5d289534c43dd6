-- Grain: one row per refund.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'refunds') }}

),

final as (

    {{ treated_stripe__refunds() }}

)

select * from final
