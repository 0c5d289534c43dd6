-- Grain: one row per project of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'projects') }}

),

final as (

    {{ treated_app__projects() }}

)

select * from final
