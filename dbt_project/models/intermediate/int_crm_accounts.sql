-- Grain: one row per account of a CRM: HubSpot's companies, Salesforce's accounts. A merged one follows its master.
{{ config(materialized='view') }}

with

companies as (

    select * from {{ ref('stg_hubspot__companies') }}

),

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

),

final as (

    select
        tenant_id,
        'hubspot' as crm,
        id as account_id,
        cast(null as varchar) as master_account_id,
        name as account_name,
        lower(claimed_tenant_id) as claimed_tenant_id,
        industry,
        numberofemployees as employees,
        lower(lifecyclestage) as lifecycle,
        created_at,
        updated_at,
        is_deleted or coalesce(archived, false) as is_deleted
    from companies

    union all

    select
        tenant_id,
        'salesforce' as crm,
        id as account_id,
        master_record_id as master_account_id,
        name as account_name,
        lower(claimed_tenant_id) as claimed_tenant_id,
        industry,
        number_of_employees as employees,
        lower(type) as lifecycle,
        created_date as created_at,
        system_modstamp as updated_at,
        is_deleted or coalesce(is_in_recycle_bin, false) as is_deleted
    from accounts

)

select * from final
