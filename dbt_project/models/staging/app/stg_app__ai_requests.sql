-- Grain: one row per request of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'ai_requests') }}

),

final as (

    {{ treated_app__ai_requests() }}

)

select * from final
