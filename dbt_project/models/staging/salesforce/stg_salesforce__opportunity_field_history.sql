-- Grain: one row per change of a field.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'OpportunityFieldHistory') }}

),

final as (

    {{ treated_salesforce__opportunity_field_history() }}

)

select * from final
