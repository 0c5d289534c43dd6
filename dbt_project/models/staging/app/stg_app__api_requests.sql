-- Grain: one row per call of a tenant.
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

    select * from {{ source('raw_app', 'api_requests') }}

),

final as (

    {{ treated_app__api_requests() }}

)

select * from final
