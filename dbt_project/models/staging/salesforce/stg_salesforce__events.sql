-- Grain: one row per event.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Event') }}

),

final as (

    {{ treated_salesforce__events() }}

)

select * from final
