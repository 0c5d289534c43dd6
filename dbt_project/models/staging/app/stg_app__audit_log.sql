-- Grain: one row per action of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'audit_log') }}

),

final as (

    {{ treated_app__audit_log() }}

)

select * from final
