-- Grain: one row per campaign.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Campaign') }}

),

final as (

    {{ treated_salesforce__campaigns() }}

)

select * from final
