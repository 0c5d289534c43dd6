-- Grain: one row per tenant_id and day (UTC) on which the tenant has at least one usage event.
-- A slice whose events have all been deleted is written with zeroes, which replaces its old row, and then removed.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day'],
        on_schema_change='fail',
        post_hook='delete from {{ this }} where workflow_runs + tasks_completed + comments + api_requests + ai_requests = 0',
    )
}}

with

user_activity {{ as_read_in_place() }} (

    select * from {{ ref('int_user_activity_daily') }}

),

{% if is_incremental() %}

    touched_slices as (

        select distinct
            tenant_id,
            day
        from user_activity
        where {{ extracted_since_last_build('_extracted_at') }}

    ),

    activity_to_count as (

        select user_activity.*
        from user_activity
        inner join touched_slices
            on
                user_activity.tenant_id = touched_slices.tenant_id
                and user_activity.day = touched_slices.day

    ),

{% else %}

    activity_to_count as (

        select * from user_activity

    ),

{% endif %}

final as (

    select
        tenant_id,
        day,
        cast(count(distinct case when events > 0 then user_key end) as bigint) as active_users,
        cast(sum(case when feature = 'workflows' then events else 0 end) as bigint) as workflow_runs,
        cast(sum(case when feature = 'workflows' then failures else 0 end) as bigint) as workflow_runs_failed,
        cast(sum(case when feature = 'tasks' then events else 0 end) as bigint) as tasks_completed,
        cast(sum(case when feature = 'comments' then events else 0 end) as bigint) as comments,
        cast(sum(case when feature = 'api' then events else 0 end) as bigint) as api_requests,
        cast(sum(case when feature = 'api' then failures else 0 end) as bigint) as api_errors,
        cast(sum(case when feature = 'ai' then events else 0 end) as bigint) as ai_requests,
        cast(sum(ai_tokens) as bigint) as ai_tokens,
        cast(sum(ai_cost_usd) as decimal(18, 6)) as ai_cost_usd,
        max(_extracted_at) as _extracted_at
    from activity_to_count
    group by tenant_id, day

)

select * from final
