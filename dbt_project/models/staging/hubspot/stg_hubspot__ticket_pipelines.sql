-- Grain: one row per pipeline.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'ticket_pipelines') }}

),

final as (

    {{ treated_hubspot__ticket_pipelines() }}

)

select * from final
