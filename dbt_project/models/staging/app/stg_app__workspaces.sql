-- Grain: one row per workspace of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'workspaces') }}

),

final as (

    {{ treated_app__workspaces() }}

)

select * from final
