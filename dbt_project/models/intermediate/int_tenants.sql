-- Grain: one row per tenant_id. Tenants as the product knows them now: an adopter maps their own directory to it.
{{ config(materialized='view') }}

with

tenants as (

    select * from {{ ref('stg_app__tenants') }}

),

final as (

    select
        tenant_id,
        name as tenant_name,
        slug,
        plan,
        tier,
        region,
        status,
        stripe_customer_id,
        created_at,
        coalesce(updated_at, created_at, _extracted_at) as updated_at,
        is_deleted
    from tenants

)

select * from final
