-- Grain: one row per task of a tenant.
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

    select * from {{ source('raw_app', 'tasks') }}

),

final as (

    {{ treated_app__tasks() }}

)

select * from final
