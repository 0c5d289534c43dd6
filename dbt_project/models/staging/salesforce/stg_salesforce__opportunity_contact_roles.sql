-- Grain: one row per opportunity and contact.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'OpportunityContactRole') }}

),

final as (

    {{ treated_salesforce__opportunity_contact_roles() }}

)

select * from final
