-- Grain: one row per user.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'User') }}

),

final as (

    {{ treated_salesforce__users() }}

)

select * from final
