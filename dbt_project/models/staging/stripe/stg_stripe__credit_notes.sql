-- Grain: one row per credit note.
{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw_stripe', 'credit_notes') }}

),

final as (

    {{ treated_stripe__credit_notes() }}

)

select * from final
