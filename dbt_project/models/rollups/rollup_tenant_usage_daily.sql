-- Grain: one row per tenant_id and day (UTC) on which the tenant has at least one usage event.
-- Built whole on every run, from two marts of the same grain.

with

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

engagement_daily as (

    select * from {{ ref('fct_engagement_daily') }}

),

final as (

    select
        usage_daily.tenant_id,
        usage_daily.day,
        usage_daily.active_users,
        engagement_daily.active_users_7d,
        engagement_daily.active_users_28d,
        usage_daily.workflow_runs,
        usage_daily.workflow_runs_failed,
        usage_daily.tasks_completed,
        usage_daily.comments,
        usage_daily.api_requests,
        usage_daily.api_errors,
        usage_daily.ai_requests,
        usage_daily.ai_tokens,
        usage_daily.ai_cost_usd
    from usage_daily
    inner join engagement_daily
        on
            usage_daily.tenant_id = engagement_daily.tenant_id
            and usage_daily.day = engagement_daily.day

)

select * from final
