{# Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this. #}


{% macro treated_app__plans() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.name as name,
        source.list_price_minor as list_price_minor,
        source.seats_included as seats_included,
        source.updated_at as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_app__tenants() -%}
    select
        coalesce(cast(source.id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        source.name as name,
        source.slug as slug,
        source.plan as plan,
        source.tier as tier,
        source.region as region,
        source.status as status,
        {{ pseudonymise(normalise_email('source.billing_email')) }} as billing_email,
        source.stripe_customer_id as stripe_customer_id,
        source.created_at as created_at,
        source.updated_at as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__users() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        {{ pseudonymise('cast(source.id as varchar)') }} as id,
        {{ pseudonymise(normalise_email('source.email')) }} as email,
        source.role as role,
        source.status as status,
        source.locale as locale,
        {{ generalise_network('source.last_login_ip') }} as last_login_ip,
        source.created_at as created_at,
        source.updated_at as updated_at,
        source.last_seen_at as last_seen_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__workspaces() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        {{ pseudonymise('cast(source.created_by as varchar)') }} as created_by,
        source.created_at as created_at,
        source.updated_at as updated_at,
        source.archived_at as archived_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__workspace_members() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.workspace_id as varchar) as workspace_id,
        {{ pseudonymise('cast(source.user_id as varchar)') }} as user_id,
        source.role as role,
        source.joined_at as joined_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__projects() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        cast(source.workspace_id as varchar) as workspace_id,
        {{ pseudonymise('cast(source.owner_id as varchar)') }} as owner_id,
        source.budget as budget,
        source.created_at as created_at,
        source.updated_at as updated_at,
        source.archived_at as archived_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__workflow_runs() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        cast(source.project_id as varchar) as project_id,
        {{ pseudonymise('cast(source.started_by as varchar)') }} as started_by,
        source.workflow as workflow,
        {{ 'source.' ~ reserved('trigger') }} as trigger_type,
        source.status as status,
        source.started_at as started_at,
        source.finished_at as finished_at,
        source.duration_ms as duration_ms,
        source.updated_at as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__tasks() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        cast(source.project_id as varchar) as project_id,
        cast(source.workflow_run_id as varchar) as workflow_run_id,
        {{ pseudonymise('cast(source.assignee_id as varchar)') }} as assignee_id,
        source.status as status,
        source.due_on as due_on,
        source.created_at as created_at,
        source.completed_at as completed_at,
        source.updated_at as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__comments() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        cast(source.task_id as varchar) as task_id,
        {{ pseudonymise('cast(source.author_id as varchar)') }} as author_id,
        source.created_at as created_at,
        source.updated_at as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__api_requests() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        {{ pseudonymise('cast(source.user_id as varchar)') }} as user_id,
        source.endpoint as endpoint,
        source.method as method,
        source.status_code as status_code,
        source.latency_ms as latency_ms,
        {{ generalise_network('source.client_ip') }} as client_ip,
        source.occurred_at as occurred_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__ai_requests() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        {{ pseudonymise('cast(source.user_id as varchar)') }} as user_id,
        source.model as model,
        source.prompt_tokens as prompt_tokens,
        source.completion_tokens as completion_tokens,
        source.cost_usd as cost_usd,
        source.occurred_at as occurred_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__audit_log() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        {{ pseudonymise('cast(source.actor_id as varchar)') }} as actor_id,
        source.action as action,
        source.target_type as target_type,
        {{ pseudonymise('cast(source.target_id as varchar)') }} as target_id,
        {{ generalise_network('source.ip') }} as ip,
        source.occurred_at as occurred_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(source.tenant_id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_app__entitlements() -%}
    select
        coalesce(cast(source.tenant_id as varchar), 'unattributed') as tenant_id,
        cast(source.id as varchar) as id,
        source.feature as feature,
        source.limit_value as limit_value,
        source.unit as unit,
        source.valid_from as valid_from,
        source.valid_to as valid_to,
        source.updated_at as updated_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}
