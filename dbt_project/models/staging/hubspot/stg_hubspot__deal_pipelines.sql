-- Grain: one row per pipeline.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'deal_pipelines') }}

),

final as (

    {{ treated_hubspot__deal_pipelines() }}

)

select * from final
