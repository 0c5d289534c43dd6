-- Grain: one row per contact.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Contact') }}

),

final as (

    {{ treated_salesforce__contacts() }}

)

select * from final
