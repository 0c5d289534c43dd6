-- Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this.
create schema if not exists governance;
create tag if not exists governance.data_class allowed_values 'operational', 'organisation', 'tenant_identifier', 'person_identifier', 'email', 'network_address', 'contact_hint', 'personal_date', 'personal_amount', 'scanned_text', 'person_name', 'person_attribute', 'phone', 'address', 'payment_instrument', 'label', 'free_text', 'payload', 'restricted', 'credential';

-- Raw is read as it is by the role that transforms it, and by nobody else but where a class is kept open.
create or replace masking policy governance.mask_varchar as (value varchar) returns varchar ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_number as (value number) returns number ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_float as (value float) returns float ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_boolean as (value boolean) returns boolean ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_date as (value date) returns date ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_timestamp_ntz as (value timestamp_ntz) returns timestamp_ntz ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_timestamp_tz as (value timestamp_tz) returns timestamp_tz ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_time as (value time) returns time ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_variant as (value variant) returns variant ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
create or replace masking policy governance.mask_binary as (value binary) returns binary ->
    case
        when is_role_in_session('TAILRACE_TRANSFORMER') then value
        when system$get_tag_on_current_column('governance.data_class') in ('operational', 'organisation', 'tenant_identifier') then value
    end;
alter tag governance.data_class set masking policy governance.mask_varchar, masking policy governance.mask_number, masking policy governance.mask_float, masking policy governance.mask_boolean, masking policy governance.mask_date, masking policy governance.mask_timestamp_ntz, masking policy governance.mask_timestamp_tz, masking policy governance.mask_time, masking policy governance.mask_variant, masking policy governance.mask_binary force;

-- Product database
alter schema raw_app set tag governance.data_class = 'restricted';
alter table if exists raw_app."PLANS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'operational',
    column "LIST_PRICE_MINOR" set tag governance.data_class = 'operational',
    column "SEATS_INCLUDED" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."TENANTS" modify
    column "ID" set tag governance.data_class = 'tenant_identifier',
    column "NAME" set tag governance.data_class = 'organisation',
    column "SLUG" set tag governance.data_class = 'organisation',
    column "PLAN" set tag governance.data_class = 'operational',
    column "TIER" set tag governance.data_class = 'operational',
    column "REGION" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "BILLING_EMAIL" set tag governance.data_class = 'email',
    column "STRIPE_CUSTOMER_ID" set tag governance.data_class = 'operational',
    column "CREATED_AT" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."USERS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'person_identifier',
    column "EMAIL" set tag governance.data_class = 'email',
    column "FULL_NAME" set tag governance.data_class = 'person_name',
    column "PHONE" set tag governance.data_class = 'phone',
    column "ROLE" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "LOCALE" set tag governance.data_class = 'operational',
    column "LAST_LOGIN_IP" set tag governance.data_class = 'network_address',
    column "CREATED_AT" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "LAST_SEEN_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."WORKSPACES" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'label',
    column "CREATED_BY" set tag governance.data_class = 'person_identifier',
    column "CREATED_AT" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "ARCHIVED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."WORKSPACE_MEMBERS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "WORKSPACE_ID" set tag governance.data_class = 'operational',
    column "USER_ID" set tag governance.data_class = 'person_identifier',
    column "ROLE" set tag governance.data_class = 'operational',
    column "JOINED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."PROJECTS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "WORKSPACE_ID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'label',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "OWNER_ID" set tag governance.data_class = 'person_identifier',
    column "BUDGET" set tag governance.data_class = 'operational',
    column "CREATED_AT" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "ARCHIVED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."WORKFLOW_RUNS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "PROJECT_ID" set tag governance.data_class = 'operational',
    column "STARTED_BY" set tag governance.data_class = 'person_identifier',
    column "WORKFLOW" set tag governance.data_class = 'operational',
    column "TRIGGER" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "STARTED_AT" set tag governance.data_class = 'operational',
    column "FINISHED_AT" set tag governance.data_class = 'operational',
    column "DURATION_MS" set tag governance.data_class = 'operational',
    column "INPUT" set tag governance.data_class = 'payload',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."TASKS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "PROJECT_ID" set tag governance.data_class = 'operational',
    column "WORKFLOW_RUN_ID" set tag governance.data_class = 'operational',
    column "TITLE" set tag governance.data_class = 'free_text',
    column "ASSIGNEE_ID" set tag governance.data_class = 'person_identifier',
    column "STATUS" set tag governance.data_class = 'operational',
    column "DUE_ON" set tag governance.data_class = 'operational',
    column "CREATED_AT" set tag governance.data_class = 'operational',
    column "COMPLETED_AT" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."COMMENTS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "TASK_ID" set tag governance.data_class = 'operational',
    column "AUTHOR_ID" set tag governance.data_class = 'person_identifier',
    column "BODY" set tag governance.data_class = 'free_text',
    column "CREATED_AT" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."API_REQUESTS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "USER_ID" set tag governance.data_class = 'person_identifier',
    column "ENDPOINT" set tag governance.data_class = 'operational',
    column "METHOD" set tag governance.data_class = 'operational',
    column "STATUS_CODE" set tag governance.data_class = 'operational',
    column "LATENCY_MS" set tag governance.data_class = 'operational',
    column "CLIENT_IP" set tag governance.data_class = 'network_address',
    column "OCCURRED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."AI_REQUESTS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "USER_ID" set tag governance.data_class = 'person_identifier',
    column "MODEL" set tag governance.data_class = 'operational',
    column "PROMPT_TOKENS" set tag governance.data_class = 'operational',
    column "COMPLETION_TOKENS" set tag governance.data_class = 'operational',
    column "COST_USD" set tag governance.data_class = 'operational',
    column "PROMPT" set tag governance.data_class = 'free_text',
    column "OCCURRED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."AUDIT_LOG" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "ACTOR_ID" set tag governance.data_class = 'person_identifier',
    column "ACTION" set tag governance.data_class = 'operational',
    column "TARGET_TYPE" set tag governance.data_class = 'operational',
    column "TARGET_ID" set tag governance.data_class = 'person_identifier',
    column "IP" set tag governance.data_class = 'network_address',
    column "DETAIL" set tag governance.data_class = 'payload',
    column "OCCURRED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_app."ENTITLEMENTS" modify
    column "TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "ID" set tag governance.data_class = 'operational',
    column "FEATURE" set tag governance.data_class = 'operational',
    column "LIMIT_VALUE" set tag governance.data_class = 'operational',
    column "UNIT" set tag governance.data_class = 'operational',
    column "VALID_FROM" set tag governance.data_class = 'operational',
    column "VALID_TO" set tag governance.data_class = 'operational',
    column "UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
-- HubSpot
alter schema raw_hubspot set tag governance.data_class = 'restricted';
alter table if exists raw_hubspot."COMPANIES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "PROPERTIES_NAME" set tag governance.data_class = 'organisation',
    column "PROPERTIES_DOMAIN" set tag governance.data_class = 'organisation',
    column "PROPERTIES_TENANT_ID" set tag governance.data_class = 'tenant_identifier',
    column "PROPERTIES_REGION" set tag governance.data_class = 'operational',
    column "PROPERTIES_INDUSTRY" set tag governance.data_class = 'operational',
    column "PROPERTIES_NUMBEROFEMPLOYEES" set tag governance.data_class = 'operational',
    column "PROPERTIES_LIFECYCLESTAGE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HUBSPOT_OWNER_ID" set tag governance.data_class = 'person_identifier',
    column "PROPERTIES_HS_MERGED_OBJECT_IDS" set tag governance.data_class = 'operational',
    column "PROPERTIES_CREATEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."CONTACTS" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "PROPERTIES_EMAIL" set tag governance.data_class = 'email',
    column "PROPERTIES_FIRSTNAME" set tag governance.data_class = 'person_name',
    column "PROPERTIES_LASTNAME" set tag governance.data_class = 'person_name',
    column "PROPERTIES_PHONE" set tag governance.data_class = 'phone',
    column "PROPERTIES_JOBTITLE" set tag governance.data_class = 'person_attribute',
    column "PROPERTIES_ASSOCIATEDCOMPANYID" set tag governance.data_class = 'operational',
    column "PROPERTIES_LIFECYCLESTAGE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HUBSPOT_OWNER_ID" set tag governance.data_class = 'person_identifier',
    column "PROPERTIES_HS_MERGED_OBJECT_IDS" set tag governance.data_class = 'person_identifier',
    column "PROPERTIES_CREATEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."DEALS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "PROPERTIES_DEALNAME" set tag governance.data_class = 'label',
    column "PROPERTIES_AMOUNT" set tag governance.data_class = 'operational',
    column "PROPERTIES_DEAL_CURRENCY_CODE" set tag governance.data_class = 'operational',
    column "PROPERTIES_DEALSTAGE" set tag governance.data_class = 'operational',
    column "PROPERTIES_PIPELINE" set tag governance.data_class = 'operational',
    column "PROPERTIES_CLOSEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_PRIMARY_ASSOCIATED_COMPANY" set tag governance.data_class = 'operational',
    column "PROPERTIES_HUBSPOT_OWNER_ID" set tag governance.data_class = 'person_identifier',
    column "PROPERTIES_HS_MERGED_OBJECT_IDS" set tag governance.data_class = 'operational',
    column "PROPERTIES_CREATEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."TICKETS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "COMPANY_ID" set tag governance.data_class = 'operational',
    column "PROPERTIES_SUBJECT" set tag governance.data_class = 'free_text',
    column "PROPERTIES_CONTENT" set tag governance.data_class = 'free_text',
    column "PROPERTIES_HS_PIPELINE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_PIPELINE_STAGE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_TICKET_PRIORITY" set tag governance.data_class = 'operational',
    column "PROPERTIES_CLOSED_DATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HUBSPOT_OWNER_ID" set tag governance.data_class = 'person_identifier',
    column "PROPERTIES_HS_MERGED_OBJECT_IDS" set tag governance.data_class = 'operational',
    column "PROPERTIES_CREATEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."PRODUCTS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "PROPERTIES_NAME" set tag governance.data_class = 'organisation',
    column "PROPERTIES_DESCRIPTION" set tag governance.data_class = 'organisation',
    column "PROPERTIES_HS_SKU" set tag governance.data_class = 'operational',
    column "PROPERTIES_PRICE" set tag governance.data_class = 'operational',
    column "PROPERTIES_RECURRINGBILLINGFREQUENCY" set tag governance.data_class = 'operational',
    column "PROPERTIES_CREATEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."LINE_ITEMS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "COMPANY_ID" set tag governance.data_class = 'operational',
    column "DEAL_ID" set tag governance.data_class = 'operational',
    column "PROPERTIES_NAME" set tag governance.data_class = 'label',
    column "PROPERTIES_QUANTITY" set tag governance.data_class = 'operational',
    column "PROPERTIES_PRICE" set tag governance.data_class = 'operational',
    column "PROPERTIES_AMOUNT" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_PRODUCT_ID" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_LINE_ITEM_CURRENCY_CODE" set tag governance.data_class = 'operational',
    column "PROPERTIES_CREATEDATE" set tag governance.data_class = 'operational',
    column "PROPERTIES_HS_LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."ASSOCIATIONS" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "HOLDER" set tag governance.data_class = 'person_identifier',
    column "FROM_TYPE" set tag governance.data_class = 'operational',
    column "TO_TYPE" set tag governance.data_class = 'operational',
    column "COMPANY_ID" set tag governance.data_class = 'operational',
    column "CONTACT_ID" set tag governance.data_class = 'person_identifier',
    column "DEAL_ID" set tag governance.data_class = 'operational',
    column "TICKET_ID" set tag governance.data_class = 'operational',
    column "LINE_ITEM_ID" set tag governance.data_class = 'operational',
    column "LINKED_COMPANY_ID" set tag governance.data_class = 'operational',
    column "CATEGORY" set tag governance.data_class = 'operational',
    column "TYPE_ID" set tag governance.data_class = 'operational',
    column "LABEL" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."PROPERTY_HISTORY" modify
    column "ID" set tag governance.data_class = 'operational',
    column "OBJECT_TYPE" set tag governance.data_class = 'operational',
    column "OBJECT_ID" set tag governance.data_class = 'operational',
    column "COMPANY_ID" set tag governance.data_class = 'operational',
    column "PROPERTY" set tag governance.data_class = 'operational',
    column "VALUE" set tag governance.data_class = 'operational',
    column "TIMESTAMP" set tag governance.data_class = 'operational',
    column "SOURCETYPE" set tag governance.data_class = 'operational',
    column "SOURCEID" set tag governance.data_class = 'person_identifier',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."MERGES" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "SURVIVOR_ID" set tag governance.data_class = 'person_identifier',
    column "OBJECT_TYPE" set tag governance.data_class = 'operational',
    column "COMPANY_ID" set tag governance.data_class = 'operational',
    column "MERGED_COMPANY_ID" set tag governance.data_class = 'operational',
    column "SURVIVING_COMPANY_ID" set tag governance.data_class = 'operational',
    column "MERGED_CONTACT_ID" set tag governance.data_class = 'person_identifier',
    column "SURVIVING_CONTACT_ID" set tag governance.data_class = 'person_identifier',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."OWNERS" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "EMAIL" set tag governance.data_class = 'email',
    column "FIRSTNAME" set tag governance.data_class = 'person_name',
    column "LASTNAME" set tag governance.data_class = 'person_name',
    column "USERID" set tag governance.data_class = 'person_identifier',
    column "TYPE" set tag governance.data_class = 'operational',
    column "TEAMS" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."DEAL_PIPELINES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "LABEL" set tag governance.data_class = 'organisation',
    column "DISPLAYORDER" set tag governance.data_class = 'operational',
    column "STAGES" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_hubspot."TICKET_PIPELINES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "LABEL" set tag governance.data_class = 'organisation',
    column "DISPLAYORDER" set tag governance.data_class = 'operational',
    column "STAGES" set tag governance.data_class = 'operational',
    column "ARCHIVED" set tag governance.data_class = 'operational',
    column "CREATEDAT" set tag governance.data_class = 'operational',
    column "UPDATEDAT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
-- Salesforce
alter schema raw_salesforce set tag governance.data_class = 'restricted';
alter table if exists raw_salesforce."ACCOUNT" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "MASTERRECORDID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'organisation',
    column "TENANT_ID__C" set tag governance.data_class = 'tenant_identifier',
    column "REGION__C" set tag governance.data_class = 'operational',
    column "PARENTID" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "INDUSTRY" set tag governance.data_class = 'operational',
    column "NUMBEROFEMPLOYEES" set tag governance.data_class = 'operational',
    column "ANNUALREVENUE" set tag governance.data_class = 'operational',
    column "WEBSITE" set tag governance.data_class = 'organisation',
    column "PHONE" set tag governance.data_class = 'phone',
    column "FAX" set tag governance.data_class = 'phone',
    column "BILLINGSTREET" set tag governance.data_class = 'address',
    column "BILLINGCITY" set tag governance.data_class = 'address',
    column "BILLINGSTATE" set tag governance.data_class = 'address',
    column "BILLINGPOSTALCODE" set tag governance.data_class = 'address',
    column "BILLINGCOUNTRY" set tag governance.data_class = 'address',
    column "SHIPPINGSTREET" set tag governance.data_class = 'address',
    column "SHIPPINGCITY" set tag governance.data_class = 'address',
    column "SHIPPINGSTATE" set tag governance.data_class = 'address',
    column "SHIPPINGPOSTALCODE" set tag governance.data_class = 'address',
    column "SHIPPINGCOUNTRY" set tag governance.data_class = 'address',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "OPEN_PIPELINE__C" set tag governance.data_class = 'operational',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."USER" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "USERNAME" set tag governance.data_class = 'email',
    column "EMAIL" set tag governance.data_class = 'email',
    column "FIRSTNAME" set tag governance.data_class = 'person_name',
    column "LASTNAME" set tag governance.data_class = 'person_name',
    column "NAME" set tag governance.data_class = 'person_name',
    column "TITLE" set tag governance.data_class = 'person_attribute',
    column "DEPARTMENT" set tag governance.data_class = 'person_attribute',
    column "PHONE" set tag governance.data_class = 'phone',
    column "MOBILEPHONE" set tag governance.data_class = 'phone',
    column "ISACTIVE" set tag governance.data_class = 'operational',
    column "USERTYPE" set tag governance.data_class = 'operational',
    column "PROFILEID" set tag governance.data_class = 'operational',
    column "USERROLEID" set tag governance.data_class = 'operational',
    column "MANAGERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."CAMPAIGN" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'label',
    column "PARENTID" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "ISACTIVE" set tag governance.data_class = 'operational',
    column "STARTDATE" set tag governance.data_class = 'operational',
    column "ENDDATE" set tag governance.data_class = 'operational',
    column "BUDGETEDCOST" set tag governance.data_class = 'operational',
    column "ACTUALCOST" set tag governance.data_class = 'operational',
    column "EXPECTEDREVENUE" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."LEAD" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "MASTERRECORDID" set tag governance.data_class = 'person_identifier',
    column "FIRSTNAME" set tag governance.data_class = 'person_name',
    column "LASTNAME" set tag governance.data_class = 'person_name',
    column "NAME" set tag governance.data_class = 'person_name',
    column "TITLE" set tag governance.data_class = 'person_attribute',
    column "COMPANY" set tag governance.data_class = 'organisation',
    column "EMAIL" set tag governance.data_class = 'email',
    column "PHONE" set tag governance.data_class = 'phone',
    column "MOBILEPHONE" set tag governance.data_class = 'phone',
    column "STREET" set tag governance.data_class = 'address',
    column "CITY" set tag governance.data_class = 'address',
    column "STATE" set tag governance.data_class = 'address',
    column "POSTALCODE" set tag governance.data_class = 'address',
    column "COUNTRY" set tag governance.data_class = 'address',
    column "WEBSITE" set tag governance.data_class = 'organisation',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "LEADSOURCE" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "RATING" set tag governance.data_class = 'operational',
    column "INDUSTRY" set tag governance.data_class = 'operational',
    column "NUMBEROFEMPLOYEES" set tag governance.data_class = 'operational',
    column "ANNUALREVENUE" set tag governance.data_class = 'operational',
    column "ISCONVERTED" set tag governance.data_class = 'operational',
    column "CONVERTEDDATE" set tag governance.data_class = 'operational',
    column "CONVERTEDACCOUNTID" set tag governance.data_class = 'operational',
    column "CONVERTEDCONTACTID" set tag governance.data_class = 'person_identifier',
    column "CONVERTEDOPPORTUNITYID" set tag governance.data_class = 'operational',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."CONTACT" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "MASTERRECORDID" set tag governance.data_class = 'person_identifier',
    column "ACCOUNTID" set tag governance.data_class = 'operational',
    column "SALUTATION" set tag governance.data_class = 'person_attribute',
    column "FIRSTNAME" set tag governance.data_class = 'person_name',
    column "LASTNAME" set tag governance.data_class = 'person_name',
    column "NAME" set tag governance.data_class = 'person_name',
    column "TITLE" set tag governance.data_class = 'person_attribute',
    column "DEPARTMENT" set tag governance.data_class = 'person_attribute',
    column "BIRTHDATE" set tag governance.data_class = 'person_attribute',
    column "EMAIL" set tag governance.data_class = 'email',
    column "PHONE" set tag governance.data_class = 'phone',
    column "MOBILEPHONE" set tag governance.data_class = 'phone',
    column "HOMEPHONE" set tag governance.data_class = 'phone',
    column "FAX" set tag governance.data_class = 'phone',
    column "MAILINGSTREET" set tag governance.data_class = 'address',
    column "MAILINGCITY" set tag governance.data_class = 'address',
    column "MAILINGSTATE" set tag governance.data_class = 'address',
    column "MAILINGPOSTALCODE" set tag governance.data_class = 'address',
    column "MAILINGCOUNTRY" set tag governance.data_class = 'address',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "LEADSOURCE" set tag governance.data_class = 'operational',
    column "REPORTSTOID" set tag governance.data_class = 'person_identifier',
    column "HASOPTEDOUTOFEMAIL" set tag governance.data_class = 'operational',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."OPPORTUNITY" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "ACCOUNTID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'label',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "NEXTSTEP" set tag governance.data_class = 'free_text',
    column "STAGENAME" set tag governance.data_class = 'operational',
    column "FORECASTCATEGORYNAME" set tag governance.data_class = 'operational',
    column "ISCLOSED" set tag governance.data_class = 'operational',
    column "ISWON" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "CURRENCYISOCODE" set tag governance.data_class = 'operational',
    column "PROBABILITY" set tag governance.data_class = 'operational',
    column "EXPECTEDREVENUE" set tag governance.data_class = 'operational',
    column "TOTALOPPORTUNITYQUANTITY" set tag governance.data_class = 'operational',
    column "CLOSEDATE" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "LEADSOURCE" set tag governance.data_class = 'operational',
    column "CAMPAIGNID" set tag governance.data_class = 'operational',
    column "CONTACTID" set tag governance.data_class = 'person_identifier',
    column "PRICEBOOK2ID" set tag governance.data_class = 'operational',
    column "HASOPPORTUNITYLINEITEM" set tag governance.data_class = 'operational',
    column "ACCOUNT_INDUSTRY__C" set tag governance.data_class = 'operational',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."OPPORTUNITYLINEITEM" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "OPPORTUNITYID" set tag governance.data_class = 'operational',
    column "PRICEBOOKENTRYID" set tag governance.data_class = 'operational',
    column "PRODUCT2ID" set tag governance.data_class = 'operational',
    column "PRODUCTCODE" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'label',
    column "QUANTITY" set tag governance.data_class = 'operational',
    column "UNITPRICE" set tag governance.data_class = 'operational',
    column "LISTPRICE" set tag governance.data_class = 'operational',
    column "DISCOUNT" set tag governance.data_class = 'operational',
    column "TOTALPRICE" set tag governance.data_class = 'operational',
    column "SERVICEDATE" set tag governance.data_class = 'operational',
    column "SORTORDER" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."OPPORTUNITYCONTACTROLE" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "OPPORTUNITYID" set tag governance.data_class = 'operational',
    column "CONTACTID" set tag governance.data_class = 'person_identifier',
    column "ROLE" set tag governance.data_class = 'operational',
    column "ISPRIMARY" set tag governance.data_class = 'operational',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."OPPORTUNITYFIELDHISTORY" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "OPPORTUNITYID" set tag governance.data_class = 'operational',
    column "FIELD" set tag governance.data_class = 'operational',
    column "DATATYPE" set tag governance.data_class = 'operational',
    column "OLDVALUE" set tag governance.data_class = 'free_text',
    column "NEWVALUE" set tag governance.data_class = 'free_text',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."TASK" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "ACCOUNTID" set tag governance.data_class = 'operational',
    column "WHOID" set tag governance.data_class = 'person_identifier',
    column "WHATID" set tag governance.data_class = 'operational',
    column "SUBJECT" set tag governance.data_class = 'free_text',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "TASKSUBTYPE" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "PRIORITY" set tag governance.data_class = 'operational',
    column "ISCLOSED" set tag governance.data_class = 'operational',
    column "ACTIVITYDATE" set tag governance.data_class = 'operational',
    column "CALLTYPE" set tag governance.data_class = 'operational',
    column "CALLDURATIONINSECONDS" set tag governance.data_class = 'operational',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."EVENT" modify
    column "ID" set tag governance.data_class = 'operational',
    column "ISDELETED" set tag governance.data_class = 'operational',
    column "ACCOUNTID" set tag governance.data_class = 'operational',
    column "WHOID" set tag governance.data_class = 'person_identifier',
    column "WHATID" set tag governance.data_class = 'operational',
    column "SUBJECT" set tag governance.data_class = 'free_text',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "LOCATION" set tag governance.data_class = 'free_text',
    column "EVENTSUBTYPE" set tag governance.data_class = 'operational',
    column "ISALLDAYEVENT" set tag governance.data_class = 'operational',
    column "STARTDATETIME" set tag governance.data_class = 'operational',
    column "ENDDATETIME" set tag governance.data_class = 'operational',
    column "DURATIONINMINUTES" set tag governance.data_class = 'operational',
    column "OWNERID" set tag governance.data_class = 'person_identifier',
    column "CREATEDDATE" set tag governance.data_class = 'operational',
    column "CREATEDBYID" set tag governance.data_class = 'person_identifier',
    column "LASTMODIFIEDDATE" set tag governance.data_class = 'operational',
    column "LASTMODIFIEDBYID" set tag governance.data_class = 'person_identifier',
    column "SYSTEMMODSTAMP" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_salesforce."RECORDMERGE" modify
    column "ID" set tag governance.data_class = 'person_identifier',
    column "MASTERRECORDID" set tag governance.data_class = 'person_identifier',
    column "OBJECT" set tag governance.data_class = 'operational',
    column "ACCOUNTID" set tag governance.data_class = 'operational',
    column "MERGEDAT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
-- Stripe
alter schema raw_stripe set tag governance.data_class = 'restricted';
alter table if exists raw_stripe."CUSTOMERS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "EMAIL" set tag governance.data_class = 'email',
    column "NAME" set tag governance.data_class = 'person_name',
    column "PHONE" set tag governance.data_class = 'phone',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "ADDRESS" set tag governance.data_class = 'address',
    column "SHIPPING" set tag governance.data_class = 'address',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "BALANCE" set tag governance.data_class = 'operational',
    column "DELINQUENT" set tag governance.data_class = 'operational',
    column "INVOICE_PREFIX" set tag governance.data_class = 'operational',
    column "INVOICE_SETTINGS" set tag governance.data_class = 'payment_instrument',
    column "TAX_EXEMPT" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."PRODUCTS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'operational',
    column "ACTIVE" set tag governance.data_class = 'operational',
    column "DEFAULT_PRICE" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "UPDATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."PRICES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "PRODUCT" set tag governance.data_class = 'operational',
    column "ACTIVE" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "NICKNAME" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "BILLING_SCHEME" set tag governance.data_class = 'operational',
    column "UNIT_AMOUNT" set tag governance.data_class = 'operational',
    column "RECURRING" set tag governance.data_class = 'operational',
    column "TAX_BEHAVIOR" set tag governance.data_class = 'operational',
    column "LOOKUP_KEY" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."COUPONS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "NAME" set tag governance.data_class = 'operational',
    column "PERCENT_OFF" set tag governance.data_class = 'operational',
    column "AMOUNT_OFF" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "DURATION" set tag governance.data_class = 'operational',
    column "DURATION_IN_MONTHS" set tag governance.data_class = 'operational',
    column "MAX_REDEMPTIONS" set tag governance.data_class = 'operational',
    column "TIMES_REDEEMED" set tag governance.data_class = 'operational',
    column "REDEEM_BY" set tag governance.data_class = 'operational',
    column "VALID" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."DISCOUNTS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "SUBSCRIPTION" set tag governance.data_class = 'operational',
    column "SUBSCRIPTION_ITEM" set tag governance.data_class = 'operational',
    column "SOURCE" set tag governance.data_class = 'payload',
    column "PROMOTION_CODE" set tag governance.data_class = 'operational',
    column "START" set tag governance.data_class = 'operational',
    column "END" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."SUBSCRIPTIONS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "ITEMS" set tag governance.data_class = 'payload',
    column "DISCOUNTS" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "COLLECTION_METHOD" set tag governance.data_class = 'operational',
    column "BILLING_CYCLE_ANCHOR" set tag governance.data_class = 'operational',
    column "START_DATE" set tag governance.data_class = 'operational',
    column "TRIAL_START" set tag governance.data_class = 'operational',
    column "TRIAL_END" set tag governance.data_class = 'operational',
    column "CANCEL_AT" set tag governance.data_class = 'operational',
    column "CANCEL_AT_PERIOD_END" set tag governance.data_class = 'operational',
    column "CANCELED_AT" set tag governance.data_class = 'operational',
    column "CANCELLATION_DETAILS" set tag governance.data_class = 'free_text',
    column "ENDED_AT" set tag governance.data_class = 'operational',
    column "PAUSE_COLLECTION" set tag governance.data_class = 'operational',
    column "LATEST_INVOICE" set tag governance.data_class = 'operational',
    column "DEFAULT_PAYMENT_METHOD" set tag governance.data_class = 'payment_instrument',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."INVOICES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "NUMBER" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "CUSTOMER_EMAIL" set tag governance.data_class = 'email',
    column "CUSTOMER_NAME" set tag governance.data_class = 'person_name',
    column "CUSTOMER_PHONE" set tag governance.data_class = 'phone',
    column "CUSTOMER_ADDRESS" set tag governance.data_class = 'address',
    column "CUSTOMER_SHIPPING" set tag governance.data_class = 'address',
    column "STATUS" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "AMOUNT_DUE" set tag governance.data_class = 'operational',
    column "AMOUNT_PAID" set tag governance.data_class = 'operational',
    column "AMOUNT_REMAINING" set tag governance.data_class = 'operational',
    column "SUBTOTAL" set tag governance.data_class = 'operational',
    column "TOTAL" set tag governance.data_class = 'operational',
    column "BILLING_REASON" set tag governance.data_class = 'operational',
    column "COLLECTION_METHOD" set tag governance.data_class = 'operational',
    column "ATTEMPT_COUNT" set tag governance.data_class = 'operational',
    column "ATTEMPTED" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "FOOTER" set tag governance.data_class = 'free_text',
    column "LINES" set tag governance.data_class = 'payload',
    column "PARENT" set tag governance.data_class = 'payload',
    column "STATUS_TRANSITIONS" set tag governance.data_class = 'operational',
    column "DUE_DATE" set tag governance.data_class = 'operational',
    column "PERIOD_START" set tag governance.data_class = 'operational',
    column "PERIOD_END" set tag governance.data_class = 'operational',
    column "NEXT_PAYMENT_ATTEMPT" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."CHARGES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "AMOUNT_CAPTURED" set tag governance.data_class = 'operational',
    column "AMOUNT_REFUNDED" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "PAID" set tag governance.data_class = 'operational',
    column "CAPTURED" set tag governance.data_class = 'operational',
    column "REFUNDED" set tag governance.data_class = 'operational',
    column "DISPUTED" set tag governance.data_class = 'operational',
    column "FAILURE_CODE" set tag governance.data_class = 'operational',
    column "FAILURE_MESSAGE" set tag governance.data_class = 'free_text',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "PAYMENT_METHOD" set tag governance.data_class = 'payment_instrument',
    column "PAYMENT_METHOD_DETAILS" set tag governance.data_class = 'payment_instrument',
    column "BILLING_DETAILS" set tag governance.data_class = 'address',
    column "SHIPPING" set tag governance.data_class = 'address',
    column "RECEIPT_EMAIL" set tag governance.data_class = 'email',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."REFUNDS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CHARGE" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "REASON" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."PROMOTION_CODES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CODE" set tag governance.data_class = 'operational',
    column "ACTIVE" set tag governance.data_class = 'operational',
    column "PROMOTION" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "EXPIRES_AT" set tag governance.data_class = 'operational',
    column "MAX_REDEMPTIONS" set tag governance.data_class = 'operational',
    column "TIMES_REDEEMED" set tag governance.data_class = 'operational',
    column "RESTRICTIONS" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."SUBSCRIPTION_ITEMS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "SUBSCRIPTION" set tag governance.data_class = 'operational',
    column "PRICE" set tag governance.data_class = 'operational',
    column "QUANTITY" set tag governance.data_class = 'operational',
    column "CURRENT_PERIOD_START" set tag governance.data_class = 'operational',
    column "CURRENT_PERIOD_END" set tag governance.data_class = 'operational',
    column "DISCOUNTS" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."SUBSCRIPTION_SCHEDULES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "SUBSCRIPTION" set tag governance.data_class = 'operational',
    column "RELEASED_SUBSCRIPTION" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "END_BEHAVIOR" set tag governance.data_class = 'operational',
    column "CURRENT_PHASE" set tag governance.data_class = 'operational',
    column "PHASES" set tag governance.data_class = 'payload',
    column "COMPLETED_AT" set tag governance.data_class = 'operational',
    column "RELEASED_AT" set tag governance.data_class = 'operational',
    column "CANCELED_AT" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."INVOICE_LINE_ITEMS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "INVOICE" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "SUBTOTAL" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "QUANTITY" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "DISCOUNTABLE" set tag governance.data_class = 'operational',
    column "DISCOUNT_AMOUNTS" set tag governance.data_class = 'operational',
    column "PERIOD" set tag governance.data_class = 'operational',
    column "PRICING" set tag governance.data_class = 'operational',
    column "PARENT" set tag governance.data_class = 'payload',
    column "SUBSCRIPTION" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."CREDIT_NOTES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "NUMBER" set tag governance.data_class = 'operational',
    column "INVOICE" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "SUBTOTAL" set tag governance.data_class = 'operational',
    column "TOTAL" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "REASON" set tag governance.data_class = 'operational',
    column "PRE_PAYMENT_AMOUNT" set tag governance.data_class = 'operational',
    column "POST_PAYMENT_AMOUNT" set tag governance.data_class = 'operational',
    column "OUT_OF_BAND_AMOUNT" set tag governance.data_class = 'operational',
    column "MEMO" set tag governance.data_class = 'free_text',
    column "LINES" set tag governance.data_class = 'payload',
    column "REFUNDS" set tag governance.data_class = 'payload',
    column "EFFECTIVE_AT" set tag governance.data_class = 'operational',
    column "VOIDED_AT" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."PAYMENT_INTENTS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "AMOUNT_RECEIVED" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "LATEST_CHARGE" set tag governance.data_class = 'operational',
    column "CAPTURE_METHOD" set tag governance.data_class = 'operational',
    column "CANCELLATION_REASON" set tag governance.data_class = 'operational',
    column "CANCELED_AT" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "LAST_PAYMENT_ERROR" set tag governance.data_class = 'payload',
    column "PAYMENT_METHOD" set tag governance.data_class = 'payment_instrument',
    column "RECEIPT_EMAIL" set tag governance.data_class = 'email',
    column "SHIPPING" set tag governance.data_class = 'address',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."DISPUTES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "CHARGE" set tag governance.data_class = 'operational',
    column "PAYMENT_INTENT" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "REASON" set tag governance.data_class = 'operational',
    column "IS_CHARGE_REFUNDABLE" set tag governance.data_class = 'operational',
    column "EVIDENCE" set tag governance.data_class = 'payload',
    column "EVIDENCE_DETAILS" set tag governance.data_class = 'operational',
    column "BALANCE_TRANSACTIONS" set tag governance.data_class = 'payload',
    column "PAYMENT_METHOD_DETAILS" set tag governance.data_class = 'payment_instrument',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."BALANCE_TRANSACTIONS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "SOURCE" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "REPORTING_CATEGORY" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "FEE" set tag governance.data_class = 'operational',
    column "NET" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "FEE_DETAILS" set tag governance.data_class = 'operational',
    column "EXCHANGE_RATE" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "AVAILABLE_ON" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "CREATED" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."PAYOUTS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "AMOUNT" set tag governance.data_class = 'operational',
    column "CURRENCY" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "ARRIVAL_DATE" set tag governance.data_class = 'operational',
    column "AUTOMATIC" set tag governance.data_class = 'operational',
    column "BALANCE_TRANSACTION" set tag governance.data_class = 'operational',
    column "DESTINATION" set tag governance.data_class = 'payment_instrument',
    column "FAILURE_CODE" set tag governance.data_class = 'operational',
    column "FAILURE_MESSAGE" set tag governance.data_class = 'free_text',
    column "METHOD" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "SOURCE_TYPE" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'free_text',
    column "STATEMENT_DESCRIPTOR" set tag governance.data_class = 'free_text',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."TAX_RATES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "DISPLAY_NAME" set tag governance.data_class = 'operational',
    column "DESCRIPTION" set tag governance.data_class = 'operational',
    column "PERCENTAGE" set tag governance.data_class = 'operational',
    column "INCLUSIVE" set tag governance.data_class = 'operational',
    column "ACTIVE" set tag governance.data_class = 'operational',
    column "COUNTRY" set tag governance.data_class = 'operational',
    column "STATE" set tag governance.data_class = 'operational',
    column "JURISDICTION" set tag governance.data_class = 'operational',
    column "TAX_TYPE" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "METADATA" set tag governance.data_class = 'payload',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."METERS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "DISPLAY_NAME" set tag governance.data_class = 'operational',
    column "EVENT_NAME" set tag governance.data_class = 'operational',
    column "STATUS" set tag governance.data_class = 'operational',
    column "DEFAULT_AGGREGATION" set tag governance.data_class = 'operational',
    column "EVENT_TIME_WINDOW" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "UPDATED" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."METER_EVENT_SUMMARIES" modify
    column "ID" set tag governance.data_class = 'operational',
    column "METER" set tag governance.data_class = 'operational',
    column "CUSTOMER" set tag governance.data_class = 'operational',
    column "AGGREGATED_VALUE" set tag governance.data_class = 'operational',
    column "START_TIME" set tag governance.data_class = 'operational',
    column "END_TIME" set tag governance.data_class = 'operational',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';
alter table if exists raw_stripe."EVENTS" modify
    column "ID" set tag governance.data_class = 'operational',
    column "TYPE" set tag governance.data_class = 'operational',
    column "API_VERSION" set tag governance.data_class = 'operational',
    column "CREATED" set tag governance.data_class = 'operational',
    column "DATA" set tag governance.data_class = 'restricted',
    column "REQUEST" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_RAW_ID" set tag governance.data_class = 'operational',
    column "_AIRBYTE_EXTRACTED_AT" set tag governance.data_class = 'operational',
    column "_AIRBYTE_META" set tag governance.data_class = 'restricted',
    column "_AIRBYTE_GENERATION_ID" set tag governance.data_class = 'operational',
    column "_AB_CDC_LSN" set tag governance.data_class = 'operational',
    column "_AB_CDC_UPDATED_AT" set tag governance.data_class = 'operational',
    column "_AB_CDC_DELETED_AT" set tag governance.data_class = 'operational';

-- Which role sees whose rows; '*' is everybody's.
create table if not exists governance.tenant_access (role_name varchar not null, tenant_id varchar not null);
create row access policy if not exists governance.tenant_rows as (row_tenant varchar) returns boolean ->
    is_role_in_session('TAILRACE_TRANSFORMER') or exists (select 1 from governance.tenant_access where is_role_in_session(role_name) and tenant_id in (row_tenant, '*'));
alter view if exists staging.stg_app__plans drop all row access policies;
alter view if exists staging.stg_app__plans add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__tenants drop all row access policies;
alter view if exists staging.stg_app__tenants add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__users drop all row access policies;
alter view if exists staging.stg_app__users add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__workspaces drop all row access policies;
alter view if exists staging.stg_app__workspaces add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__workspace_members drop all row access policies;
alter view if exists staging.stg_app__workspace_members add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__projects drop all row access policies;
alter view if exists staging.stg_app__projects add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__workflow_runs drop all row access policies;
alter view if exists staging.stg_app__workflow_runs add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__tasks drop all row access policies;
alter view if exists staging.stg_app__tasks add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__comments drop all row access policies;
alter view if exists staging.stg_app__comments add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__api_requests drop all row access policies;
alter view if exists staging.stg_app__api_requests add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__ai_requests drop all row access policies;
alter view if exists staging.stg_app__ai_requests add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__audit_log drop all row access policies;
alter view if exists staging.stg_app__audit_log add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_app__entitlements drop all row access policies;
alter view if exists staging.stg_app__entitlements add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__companies drop all row access policies;
alter view if exists staging.stg_hubspot__companies add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__contacts drop all row access policies;
alter view if exists staging.stg_hubspot__contacts add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__deals drop all row access policies;
alter view if exists staging.stg_hubspot__deals add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__tickets drop all row access policies;
alter view if exists staging.stg_hubspot__tickets add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__products drop all row access policies;
alter view if exists staging.stg_hubspot__products add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__line_items drop all row access policies;
alter view if exists staging.stg_hubspot__line_items add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__associations drop all row access policies;
alter view if exists staging.stg_hubspot__associations add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__property_history drop all row access policies;
alter view if exists staging.stg_hubspot__property_history add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__merges drop all row access policies;
alter view if exists staging.stg_hubspot__merges add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__owners drop all row access policies;
alter view if exists staging.stg_hubspot__owners add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__deal_pipelines drop all row access policies;
alter view if exists staging.stg_hubspot__deal_pipelines add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_hubspot__ticket_pipelines drop all row access policies;
alter view if exists staging.stg_hubspot__ticket_pipelines add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__accounts drop all row access policies;
alter view if exists staging.stg_salesforce__accounts add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__users drop all row access policies;
alter view if exists staging.stg_salesforce__users add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__campaigns drop all row access policies;
alter view if exists staging.stg_salesforce__campaigns add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__leads drop all row access policies;
alter view if exists staging.stg_salesforce__leads add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__contacts drop all row access policies;
alter view if exists staging.stg_salesforce__contacts add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__opportunities drop all row access policies;
alter view if exists staging.stg_salesforce__opportunities add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__opportunity_line_items drop all row access policies;
alter view if exists staging.stg_salesforce__opportunity_line_items add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__opportunity_contact_roles drop all row access policies;
alter view if exists staging.stg_salesforce__opportunity_contact_roles add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__opportunity_field_history drop all row access policies;
alter view if exists staging.stg_salesforce__opportunity_field_history add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__tasks drop all row access policies;
alter view if exists staging.stg_salesforce__tasks add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__events drop all row access policies;
alter view if exists staging.stg_salesforce__events add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_salesforce__merges drop all row access policies;
alter view if exists staging.stg_salesforce__merges add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__customers drop all row access policies;
alter view if exists staging.stg_stripe__customers add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__products drop all row access policies;
alter view if exists staging.stg_stripe__products add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__prices drop all row access policies;
alter view if exists staging.stg_stripe__prices add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__coupons drop all row access policies;
alter view if exists staging.stg_stripe__coupons add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__discounts drop all row access policies;
alter view if exists staging.stg_stripe__discounts add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__subscriptions drop all row access policies;
alter view if exists staging.stg_stripe__subscriptions add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__invoices drop all row access policies;
alter table if exists staging.stg_stripe__invoices add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__charges drop all row access policies;
alter table if exists staging.stg_stripe__charges add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__refunds drop all row access policies;
alter view if exists staging.stg_stripe__refunds add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__promotion_codes drop all row access policies;
alter view if exists staging.stg_stripe__promotion_codes add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__subscription_items drop all row access policies;
alter view if exists staging.stg_stripe__subscription_items add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__subscription_schedules drop all row access policies;
alter view if exists staging.stg_stripe__subscription_schedules add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__invoice_line_items drop all row access policies;
alter table if exists staging.stg_stripe__invoice_line_items add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__credit_notes drop all row access policies;
alter view if exists staging.stg_stripe__credit_notes add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__payment_intents drop all row access policies;
alter table if exists staging.stg_stripe__payment_intents add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__disputes drop all row access policies;
alter view if exists staging.stg_stripe__disputes add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__balance_transactions drop all row access policies;
alter table if exists staging.stg_stripe__balance_transactions add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__payouts drop all row access policies;
alter view if exists staging.stg_stripe__payouts add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__tax_rates drop all row access policies;
alter view if exists staging.stg_stripe__tax_rates add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__meters drop all row access policies;
alter view if exists staging.stg_stripe__meters add row access policy governance.tenant_rows on (tenant_id);
alter view if exists staging.stg_stripe__meter_event_summaries drop all row access policies;
alter view if exists staging.stg_stripe__meter_event_summaries add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__events drop all row access policies;
alter table if exists staging.stg_stripe__events add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__subscription_events drop all row access policies;
alter table if exists staging.stg_stripe__subscription_events add row access policy governance.tenant_rows on (tenant_id);
alter table if exists staging.stg_stripe__discount_events drop all row access policies;
alter table if exists staging.stg_stripe__discount_events add row access policy governance.tenant_rows on (tenant_id);
