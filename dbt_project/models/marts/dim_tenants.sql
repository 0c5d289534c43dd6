-- Grain: one row per tenant_id, and one for `unattributed`, which holds what no tenant could be found for.

with

tenants as (

    select * from {{ ref('int_tenants') }}

),

final as (

    select
        tenant_id,
        tenant_name,
        slug,
        plan,
        tier,
        region,
        status,
        stripe_customer_id,
        created_at,
        is_deleted
    from tenants

    union all

    select
        'unattributed' as tenant_id,
        'Unattributed' as tenant_name,
        null as slug,
        null as plan,
        null as tier,
        null as region,
        null as status,
        null as stripe_customer_id,
        null as created_at,
        false as is_deleted

)

select * from final
