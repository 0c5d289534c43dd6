-- Grain: one row per task.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_salesforce', 'Task') }}

),

final as (

    {{ treated_salesforce__tasks() }}

)

select * from final
