-- Grain: one row per contact.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_hubspot', 'contacts') }}

),

final as (

    {{ treated_hubspot__contacts() }}

)

select * from final
