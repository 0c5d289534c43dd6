{# Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this. #}


{% macro treated_hubspot__companies() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source.archived as archived,
        source.properties_name as name,
        source.properties_domain as domain,
        source.properties_tenant_id as claimed_tenant_id,
        source.properties_region as region,
        source.properties_industry as industry,
        {{ parsed('source.properties_numberofemployees', 'bigint') }} as numberofemployees,
        source.properties_lifecyclestage as lifecyclestage,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(source.properties_tenant_id) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_hubspot__contacts() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        {{ pseudonymise('source.id') }} as id,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source.archived as archived,
        {{ pseudonymise(normalise_email('source.properties_email')) }} as email,
        source.properties_associatedcompanyid as associatedcompanyid,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_lastmodifieddate', 'timestamptz') }} as lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.properties_associatedcompanyid = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__deals() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source.archived as archived,
        {{ parsed('source.properties_amount', 'decimal(18,4)') }} as amount,
        source.properties_deal_currency_code as deal_currency_code,
        source.properties_dealstage as dealstage,
        source.properties_pipeline as pipeline,
        {{ parsed('source.properties_closedate', 'timestamptz') }} as closedate,
        source.properties_hs_primary_associated_company as hs_primary_associated_company,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.properties_hs_primary_associated_company = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
{%- endmacro %}
