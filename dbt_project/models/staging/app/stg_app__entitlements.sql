-- Grain: one row per entitlement of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'entitlements') }}

),

final as (

    {{ treated_app__entitlements() }}

)

select * from final
