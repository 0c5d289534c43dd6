-- Grain: one row per tenant_id and valid_from: a tenant while the product knew it so (slowly changing, type 2).

with

tenants_snapshot as (

    select * from {{ ref('tenants_snapshot') }}

),

final as (

    select
        tenant_id,
        dbt_valid_from as valid_from,
        dbt_valid_to as valid_to,
        dbt_valid_to is null as is_current,
        tenant_name,
        slug,
        plan,
        tier,
        region,
        status,
        is_deleted
    from tenants_snapshot
    -- Two changes that the source stamped alike: the later one stands.
    where dbt_valid_to is null or dbt_valid_to > dbt_valid_from

)

select * from final
