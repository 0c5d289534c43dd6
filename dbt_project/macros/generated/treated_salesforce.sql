{# Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this. #}


{% macro treated_salesforce__accounts() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.MasterRecordId as master_record_id,
        source.Name as name,
        source.Tenant_Id__c as claimed_tenant_id,
        source.Region__c as region,
        source.ParentId as parent_id,
        source.Type as type,
        source.Industry as industry,
        {{ parsed('source.NumberOfEmployees', 'bigint') }} as number_of_employees,
        {{ parsed('source.AnnualRevenue', 'decimal(18,4)') }} as annual_revenue,
        source.Website as website,
        {{ parsed('source.Open_Pipeline__c', 'decimal(18,4)') }} as open_pipeline,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(source.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__users() -%}
    select
        'unattributed' as tenant_id,
        {{ pseudonymise('source.Id') }} as id,
        {{ pseudonymise(normalise_email('source.Username')) }} as username,
        {{ pseudonymise(normalise_email('source.Email')) }} as email,
        source.IsActive as is_active,
        source.UserType as user_type,
        source.ProfileId as profile_id,
        source.UserRoleId as user_role_id,
        {{ pseudonymise('source.ManagerId') }} as manager_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on 'unattributed' = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__campaigns() -%}
    select
        'unattributed' as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.ParentId as parent_id,
        source.Type as type,
        source.Status as status,
        source.IsActive as is_active,
        source.StartDate as start_date,
        source.EndDate as end_date,
        {{ parsed('source.BudgetedCost', 'decimal(18,4)') }} as budgeted_cost,
        {{ parsed('source.ActualCost', 'decimal(18,4)') }} as actual_cost,
        {{ parsed('source.ExpectedRevenue', 'decimal(18,4)') }} as expected_revenue,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on 'unattributed' = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__leads() -%}
    select
        'unattributed' as tenant_id,
        {{ pseudonymise('source.Id') }} as id,
        source.IsDeleted as is_in_recycle_bin,
        {{ pseudonymise('source.MasterRecordId') }} as master_record_id,
        source.Company as company,
        {{ pseudonymise(normalise_email('source.Email')) }} as email,
        source.Website as website,
        source.LeadSource as lead_source,
        source.Status as status,
        source.Rating as rating,
        source.Industry as industry,
        {{ parsed('source.NumberOfEmployees', 'bigint') }} as number_of_employees,
        {{ parsed('source.AnnualRevenue', 'decimal(18,4)') }} as annual_revenue,
        source.IsConverted as is_converted,
        source.ConvertedDate as converted_date,
        source.ConvertedAccountId as converted_account_id,
        {{ pseudonymise('source.ConvertedContactId') }} as converted_contact_id,
        source.ConvertedOpportunityId as converted_opportunity_id,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on 'unattributed' = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__contacts() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        {{ pseudonymise('source.Id') }} as id,
        source.IsDeleted as is_in_recycle_bin,
        {{ pseudonymise('source.MasterRecordId') }} as master_record_id,
        source.AccountId as account_id,
        {{ pseudonymise(normalise_email('source.Email')) }} as email,
        source.LeadSource as lead_source,
        {{ pseudonymise('source.ReportsToId') }} as reports_to_id,
        source.HasOptedOutOfEmail as has_opted_out_of_email,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on source.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__opportunities() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.AccountId as account_id,
        source.StageName as stage_name,
        source.ForecastCategoryName as forecast_category_name,
        source.IsClosed as is_closed,
        source.IsWon as is_won,
        {{ parsed('source.Amount', 'decimal(18,4)') }} as amount,
        source.CurrencyIsoCode as currency_iso_code,
        {{ parsed('source.Probability', 'decimal(18,4)') }} as probability,
        {{ parsed('source.ExpectedRevenue', 'decimal(18,4)') }} as expected_revenue,
        {{ parsed('source.TotalOpportunityQuantity', 'decimal(18,4)') }} as total_opportunity_quantity,
        source.CloseDate as close_date,
        source.Type as type,
        source.LeadSource as lead_source,
        source.CampaignId as campaign_id,
        {{ pseudonymise('source.ContactId') }} as contact_id,
        source.Pricebook2Id as pricebook_id,
        source.HasOpportunityLineItem as has_opportunity_line_item,
        source.Account_Industry__c as account_industry,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on source.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__opportunity_line_items() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.OpportunityId as opportunity_id,
        source.PricebookEntryId as pricebook_entry_id,
        source.Product2Id as product_id,
        source.ProductCode as product_code,
        {{ parsed('source.Quantity', 'decimal(18,4)') }} as quantity,
        {{ parsed('source.UnitPrice', 'decimal(18,4)') }} as unit_price,
        {{ parsed('source.ListPrice', 'decimal(18,4)') }} as list_price,
        {{ parsed('source.Discount', 'decimal(18,4)') }} as discount,
        {{ parsed('source.TotalPrice', 'decimal(18,4)') }} as total_price,
        source.ServiceDate as service_date,
        {{ parsed('source.SortOrder', 'bigint') }} as sort_order,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Opportunity', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Opportunity') }} as Opportunity
        on source.OpportunityId = Opportunity.Id
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on Opportunity.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__opportunity_contact_roles() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.OpportunityId as opportunity_id,
        {{ pseudonymise('source.ContactId') }} as contact_id,
        source.Role as role,
        source.IsPrimary as is_primary,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Opportunity', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Opportunity') }} as Opportunity
        on source.OpportunityId = Opportunity.Id
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on Opportunity.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__opportunity_field_history() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.OpportunityId as opportunity_id,
        source.Field as field,
        source.DataType as data_type,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Opportunity', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Opportunity') }} as Opportunity
        on source.OpportunityId = Opportunity.Id
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on Opportunity.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__tasks() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.AccountId as account_id,
        {{ pseudonymise('source.WhoId') }} as who_id,
        source.WhatId as what_id,
        source.TaskSubtype as task_subtype,
        source.Status as status,
        source.Priority as priority,
        source.IsClosed as is_closed,
        source.ActivityDate as activity_date,
        source.CallType as call_type,
        {{ parsed('source.CallDurationInSeconds', 'bigint') }} as call_duration_in_seconds,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on source.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__events() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.Id as id,
        source.IsDeleted as is_in_recycle_bin,
        source.AccountId as account_id,
        {{ pseudonymise('source.WhoId') }} as who_id,
        source.WhatId as what_id,
        source.EventSubtype as event_subtype,
        source.IsAllDayEvent as is_all_day_event,
        source.StartDateTime as starts_at,
        source.EndDateTime as ends_at,
        {{ parsed('source.DurationInMinutes', 'bigint') }} as duration_in_minutes,
        {{ pseudonymise('source.OwnerId') }} as owner_id,
        source.CreatedDate as created_date,
        {{ pseudonymise('source.CreatedById') }} as created_by_id,
        source.LastModifiedDate as last_modified_date,
        {{ pseudonymise('source.LastModifiedById') }} as last_modified_by_id,
        source.SystemModstamp as system_modstamp,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on source.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_salesforce__merges() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        {{ pseudonymise('source.Id') }} as id,
        {{ pseudonymise('source.MasterRecordId') }} as master_record_id,
        source.Object as object,
        source.AccountId as account_id,
        source.MergedAt as merged_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'Account', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_salesforce', 'Account') }} as Account
        on source.AccountId = Account.Id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower(Account.Tenant_Id__c) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}
