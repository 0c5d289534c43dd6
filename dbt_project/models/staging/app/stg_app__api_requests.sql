-- Grain: one row per call of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'api_requests') }}

),

final as (

    {{ treated_app__api_requests() }}

)

select * from final
