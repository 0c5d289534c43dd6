-- Grain: one row per task of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'tasks') }}

),

final as (

    {{ treated_app__tasks() }}

)

select * from final
