-- Grain: one row per opportunity.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Opportunity') }}

),

final as (

    {{ treated_salesforce__opportunities() }}

)

select * from final
