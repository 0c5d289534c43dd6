-- Grain: one row per account.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Account') }}

),

final as (

    {{ treated_salesforce__accounts() }}

)

select * from final
