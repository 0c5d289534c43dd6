-- Grain: one row per system and external_id: which tenant a customer of Stripe or an account of a CRM is, how that was
-- found, and how sure it is. What no tenant was found for is there too, as `unattributed`.
{{ config(materialized='table') }}

with

tenants as (

    select * from {{ ref('int_tenants') }}

),

customers as (

    select * from {{ ref('stg_stripe__customers') }}

),

crm_accounts as (

    select * from {{ ref('int_crm_accounts') }}

),

-- Staging has already looked the declared tenant up among those that the product knows.
records as (

    select
        'stripe' as system,
        id as external_id,
        cast(null as varchar) as master_id,
        cast(null as varchar) as name_key,
        tenant_id as declared_tenant_id,
        is_deleted
    from customers

    union all

    select
        crm as system,
        account_id as external_id,
        master_account_id as master_id,
        lower(trim(account_name)) as name_key,
        tenant_id as declared_tenant_id,
        is_deleted
    from crm_accounts

),

-- A name counts only where one tenant and one record of the system bear it.
tenant_names as (

    select
        lower(trim(tenant_name)) as name_key,
        max(tenant_id) as tenant_id
    from tenants
    where not is_deleted
    group by lower(trim(tenant_name))
    having count(*) = 1

),

record_names as (

    select
        system,
        name_key
    from records
    where name_key is not null and not is_deleted
    group by system, name_key
    having count(*) = 1

),

-- A customer that two tenants claim is neither's.
back_references as (

    select
        stripe_customer_id as external_id,
        max(tenant_id) as tenant_id
    from tenants
    where stripe_customer_id is not null and not is_deleted
    group by stripe_customer_id
    having count(*) = 1

),

found as (

    select
        records.system,
        records.external_id,
        nullif(records.declared_tenant_id, 'unattributed') as declared,
        nullif(masters.declared_tenant_id, 'unattributed') as declared_by_master,
        back_references.tenant_id as referred,
        case when record_names.name_key is not null then tenant_names.tenant_id end as named,
        records.is_deleted
    from records
    left join records as masters
        on
            records.system = masters.system
            and records.master_id = masters.external_id
    left join back_references
        on
            records.system = 'stripe'
            and records.external_id = back_references.external_id
    left join record_names
        on
            records.system = record_names.system
            and records.name_key = record_names.name_key
    left join tenant_names on records.name_key = tenant_names.name_key

),

final as (

    select
        case
            -- A likeness of names is shown, and decides nothing.
            when coalesce(declared, declared_by_master, referred) is not null
                then coalesce(declared, declared_by_master, referred)
            else 'unattributed'
        end as tenant_id,
        system,
        external_id,
        case
            when declared <> referred then 'conflict'
            when declared is not null then 'exact'
            when coalesce(declared_by_master, referred) is not null then 'strong'
            when named is not null then 'probable'
            else 'none'
        end as match_quality,
        case
            when declared is not null then 'declared by the record'
            when declared_by_master is not null then 'declared by the record it was merged into'
            when referred is not null then 'referred to by the tenant'
            when named is not null then 'same name'
            else 'none'
        end as match_method,
        case
            when declared <> referred then referred
            when declared is null and declared_by_master is null and referred is null then named
        end as other_tenant_id,
        is_deleted
    from found

)

select * from final
