-- Grain: one row per lead.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Lead') }}

),

final as (

    {{ treated_salesforce__leads() }}

)

select * from final
