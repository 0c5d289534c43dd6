-- Grain: one row per plan.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_app', 'plans') }}

),

final as (

    {{ treated_app__plans() }}

)

select * from final
