-- Grain: one row per user of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'users') }}

),

final as (

    {{ treated_app__users() }}

)

select * from final
