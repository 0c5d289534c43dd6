-- Grain: one row per comment of a tenant.
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

    select * from {{ source('raw_app', 'comments') }}

),

final as (

    {{ treated_app__comments() }}

)

select * from final
