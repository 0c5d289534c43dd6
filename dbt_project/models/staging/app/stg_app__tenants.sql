-- Grain: one row per tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'tenants') }}

),

final as (

    {{ treated_app__tenants() }}

)

select * from final
