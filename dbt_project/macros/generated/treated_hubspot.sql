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
        {{ pseudonymise('source.properties_hubspot_owner_id') }} as hubspot_owner_id,
        source.properties_hs_merged_object_ids as hs_merged_object_ids,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(source.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
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
        source.properties_lifecyclestage as lifecyclestage,
        {{ pseudonymise('source.properties_hubspot_owner_id') }} as hubspot_owner_id,
        {{ pseudonymise('source.properties_hs_merged_object_ids') }} as hs_merged_object_ids,
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
        {{ pseudonymise('source.properties_hubspot_owner_id') }} as hubspot_owner_id,
        source.properties_hs_merged_object_ids as hs_merged_object_ids,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.properties_hs_primary_associated_company = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__tickets() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source.archived as archived,
        source.company_id as company_id,
        source.properties_hs_pipeline as hs_pipeline,
        source.properties_hs_pipeline_stage as hs_pipeline_stage,
        source.properties_hs_ticket_priority as hs_ticket_priority,
        {{ parsed('source.properties_closed_date', 'timestamptz') }} as closed_date,
        {{ pseudonymise('source.properties_hubspot_owner_id') }} as hubspot_owner_id,
        source.properties_hs_merged_object_ids as hs_merged_object_ids,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.company_id = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__products() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source.archived as archived,
        source.properties_name as name,
        source.properties_description as description,
        source.properties_hs_sku as hs_sku,
        {{ parsed('source.properties_price', 'decimal(18,4)') }} as price,
        source.properties_recurringbillingfrequency as recurringbillingfrequency,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_hubspot__line_items() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source.archived as archived,
        source.company_id as company_id,
        source.deal_id as deal_id,
        {{ parsed('source.properties_quantity', 'decimal(18,4)') }} as quantity,
        {{ parsed('source.properties_price', 'decimal(18,4)') }} as price,
        {{ parsed('source.properties_amount', 'decimal(18,4)') }} as amount,
        source.properties_hs_product_id as hs_product_id,
        source.properties_hs_line_item_currency_code as hs_line_item_currency_code,
        {{ parsed('source.properties_createdate', 'timestamptz') }} as createdate,
        {{ parsed('source.properties_hs_lastmodifieddate', 'timestamptz') }} as hs_lastmodifieddate,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.company_id = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_hubspot__associations() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        {{ pseudonymise('source.id') }} as id,
        {{ pseudonymise('source.holder') }} as holder,
        source.from_type as from_type,
        source.to_type as to_type,
        source.company_id as company_id,
        {{ pseudonymise('source.contact_id') }} as contact_id,
        source.deal_id as deal_id,
        source.ticket_id as ticket_id,
        source.line_item_id as line_item_id,
        source.linked_company_id as linked_company_id,
        source.category as category,
        source.type_id as type_id,
        source.label as label,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.company_id = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__property_history() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.object_type as object_type,
        source.object_id as object_id,
        source.company_id as company_id,
        source.property as property,
        source.value as value,
        source.timestamp as timestamp,
        source.sourceType as source_type,
        {{ pseudonymise('source.sourceId') }} as source_id,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.company_id = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__merges() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        {{ pseudonymise('source.id') }} as id,
        {{ pseudonymise('source.survivor_id') }} as survivor_id,
        source.object_type as object_type,
        source.company_id as company_id,
        source.merged_company_id as merged_company_id,
        source.surviving_company_id as surviving_company_id,
        {{ pseudonymise('source.merged_contact_id') }} as merged_contact_id,
        {{ pseudonymise('source.surviving_contact_id') }} as surviving_contact_id,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'companies', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_hubspot', 'companies') }} as companies
        on source.company_id = companies.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(companies.properties_tenant_id) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__owners() -%}
    select
        'unattributed' as tenant_id,
        {{ pseudonymise('source.id') }} as id,
        {{ pseudonymise(normalise_email('source.email')) }} as email,
        {{ pseudonymise('cast(source.userId as varchar)') }} as user_id,
        source.type as type,
        {{ json_document('source.teams') }} as teams,
        source.archived as archived,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on 'unattributed' = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_hubspot__deal_pipelines() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.label as label,
        source.displayOrder as display_order,
        {{ json_document('source.stages') }} as stages,
        source.archived as archived,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_hubspot__ticket_pipelines() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.label as label,
        source.displayOrder as display_order,
        {{ json_document('source.stages') }} as stages,
        source.archived as archived,
        source.createdAt as created_at,
        source.updatedAt as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}
