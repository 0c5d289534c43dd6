-- Grain: one row per user and workspace of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'workspace_members') }}

),

final as (

    {{ treated_app__workspace_members() }}

)

select * from final
