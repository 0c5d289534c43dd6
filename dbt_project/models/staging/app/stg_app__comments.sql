-- Grain: one row per comment of a tenant.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'comments') }}

),

final as (

    {{ treated_app__comments() }}

)

select * from final
