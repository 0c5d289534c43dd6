-- Grain: one row per record that was merged into another.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'RecordMerge') }}

),

final as (

    {{ treated_salesforce__merges() }}

)

select * from final
