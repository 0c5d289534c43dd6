-- Grain: one row per run of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'workflow_runs') }}

),

final as (

    {{ treated_app__workflow_runs() }}

)

select * from final
