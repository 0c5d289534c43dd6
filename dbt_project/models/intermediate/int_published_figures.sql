-- Grain: one row per tenant_id, figure, subject and month: the figures whose change after their month is worth a row of
-- its own.
{{ config(materialized='view') }}

with

mrr_monthly as (

    select * from {{ ref('fct_mrr_monthly') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

usage_months as (

    select
        usage_daily.tenant_id,
        calendar.month,
        max(case when calendar.is_provisional then 1 else 0 end) = 1 as is_provisional,
        sum(
            usage_daily.workflow_runs + usage_daily.tasks_completed + usage_daily.comments + usage_daily.api_requests
            + usage_daily.ai_requests
        ) as events,
        sum(usage_daily.ai_cost_usd) as ai_cost_usd
    from usage_daily
    inner join calendar on usage_daily.day = calendar.day
    group by usage_daily.tenant_id, calendar.month

),

final as (

    select
        tenant_id,
        'mrr_end' as figure,
        customer_id || '/' || currency as subject,
        month,
        is_provisional,
        cast(mrr_end as decimal(28, 6)) as value,
        '{{ mrr_basis() }}' as definition
    from mrr_monthly

    union all

    select
        tenant_id,
        'usage_events' as figure,
        'all' as subject,
        month,
        is_provisional,
        cast(events as decimal(28, 6)) as value,
        'v1' as definition
    from usage_months

    union all

    select
        tenant_id,
        'ai_cost_usd' as figure,
        'all' as subject,
        month,
        is_provisional,
        cast(ai_cost_usd as decimal(28, 6)) as value,
        'v1' as definition
    from usage_months

)

select * from final
