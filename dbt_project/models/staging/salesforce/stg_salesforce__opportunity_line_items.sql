-- Grain: one row per line item.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'OpportunityLineItem') }}

),

final as (

    {{ treated_salesforce__opportunity_line_items() }}

)

select * from final
