-- Grain: one row per request of a tenant.
{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['tenant_id', 'id'],
        on_schema_change='fail',
    )
}}

with

source as (

    select * from {{ source('raw_app', 'ai_requests') }}

),

final as (

    {{ treated_app__ai_requests() }}

)

select * from final
