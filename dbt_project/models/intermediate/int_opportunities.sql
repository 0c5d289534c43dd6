-- Grain: one row per opportunity of a CRM: HubSpot's deals, Salesforce's opportunities, as they are now.
{{ config(materialized='view') }}

with

deals as (

    select * from {{ ref('stg_hubspot__deals') }}

),

opportunities as (

    select * from {{ ref('stg_salesforce__opportunities') }}

),

crm_opportunities as (

    select
        'hubspot' as crm,
        id as opportunity_id,
        hs_primary_associated_company as account_id,
        pipeline,
        dealstage as stage,
        case
            when dealstage = 'closedwon' then 'won'
            when dealstage = 'closedlost' then 'lost'
            else 'open'
        end as outcome,
        amount,
        lower(deal_currency_code) as currency,
        {{ utc_day('closedate') }} as close_date,
        coalesce(createdate, created_at) as created_at,
        coalesce(hs_lastmodifieddate, updated_at, _extracted_at) as updated_at,
        is_deleted or coalesce(archived, false) as is_deleted
    from deals

    union all

    select
        'salesforce' as crm,
        id as opportunity_id,
        account_id,
        'default' as pipeline,
        stage_name as stage,
        case
            when is_won then 'won'
            when is_closed then 'lost'
            else 'open'
        end as outcome,
        amount,
        lower(currency_iso_code) as currency,
        close_date,
        created_date as created_at,
        coalesce(system_modstamp, _extracted_at) as updated_at,
        is_deleted or coalesce(is_in_recycle_bin, false) as is_deleted
    from opportunities

),

tenant_matches as (

    select * from {{ ref('int_tenant_matches') }}

),

final as (

    select
        coalesce(tenant_matches.tenant_id, 'unattributed') as tenant_id,
        crm_opportunities.crm,
        crm_opportunities.opportunity_id,
        crm_opportunities.account_id,
        crm_opportunities.pipeline,
        crm_opportunities.stage,
        crm_opportunities.outcome,
        crm_opportunities.amount,
        crm_opportunities.currency,
        crm_opportunities.close_date,
        crm_opportunities.created_at,
        crm_opportunities.updated_at,
        crm_opportunities.is_deleted
    from crm_opportunities
    left join tenant_matches
        on
            crm_opportunities.crm = tenant_matches.system
            and crm_opportunities.account_id = tenant_matches.external_id

)

select * from final
