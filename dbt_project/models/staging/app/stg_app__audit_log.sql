-- Grain: one row per action of a tenant.
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

    select * from {{ source('raw_app', 'audit_log') }}

),

final as (

    {{ treated_app__audit_log() }}

)

select * from final
