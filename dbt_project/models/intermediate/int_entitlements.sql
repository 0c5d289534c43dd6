-- Grain: one row per entitlement: what a tenant may use of a feature, while it holds.
{{ config(materialized='view') }}

with

entitlements as (

    select * from {{ ref('stg_app__entitlements') }}

),

final as (

    select
        tenant_id,
        id as entitlement_id,
        feature,
        limit_value,
        unit,
        valid_from,
        valid_to,
        is_deleted
    from entitlements
    where valid_from is not null

)

select * from final
