-- Grain: one row per run of a tenant.
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

    select * from {{ source('raw_app', 'workflow_runs') }}

),

final as (

    {{ treated_app__workflow_runs() }}

)

select * from final
