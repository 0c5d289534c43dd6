-- Grain: one row per tenant_id, day, feature and user_key (null: no user known).
-- depends_on: {{ ref('int_task_days') }}, {{ ref('stg_app__tasks') }}
-- Whole slices (tenant, day, feature) are computed anew when any of their events changed. Deleted events count as
-- nothing but keep their slice alive, with zeroes, so that whatever is built on it sees that the slice changed.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day', 'feature'],
        on_schema_change='fail',
    )
}}

with

usage_events {{ as_read_in_place() }} (

    select * from {{ ref('int_usage_events') }}

),

{% if is_incremental() %}

    task_days as (

        select * from {{ ref('int_task_days') }}

    ),

    tasks as (

        select * from {{ ref('stg_app__tasks') }}

    ),

    -- A task that was reopened, or completed anew on another day, is missing from the day that it was on. Only its key
    -- tells which, so the keys of all tasks ever completed are looked through: keys and days alone.
    moved_tasks as (

        select
            task_days.tenant_id,
            task_days.day,
            max(tasks._extracted_at) as _extracted_at
        from tasks
        inner join task_days
            on
                tasks.tenant_id = task_days.tenant_id
                and tasks.id = task_days.task_id
        where
            {{ extracted_since_last_build('tasks._extracted_at', where="seen.feature = 'tasks'") }}
            and ({{ utc_day('tasks.completed_at') }} <> task_days.day or tasks.completed_at is null)
        group by task_days.tenant_id, task_days.day

    ),

    {{ events_of_touched_slices(
        ['workflows', 'tasks', 'comments', 'api', 'ai'], more={'tasks': 'select tenant_id, day from moved_tasks'}
    ) }}

    counted as (

        select
            tenant_id,
            day,
            feature,
            user_key,
            is_failure,
            ai_tokens,
            ai_cost_usd,
            is_deleted,
            _extracted_at
        from events_to_count

        union all

        -- As a deleted event would.
        select
            tenant_id,
            day,
            'tasks' as feature,
            null as user_key,
            false as is_failure,
            0 as ai_tokens,
            0 as ai_cost_usd,
            true as is_deleted,
            _extracted_at
        from moved_tasks

    ),

{% else %}

    counted as (

        select * from usage_events

    ),

{% endif %}

final as (

    select
        tenant_id,
        day,
        feature,
        user_key,
        cast(count(case when not is_deleted then 1 end) as bigint) as events,
        cast(count(case when not is_deleted and is_failure then 1 end) as bigint) as failures,
        cast(coalesce(sum(case when not is_deleted then ai_tokens end), 0) as bigint) as ai_tokens,
        cast(coalesce(sum(case when not is_deleted then ai_cost_usd end), 0) as decimal(18, 6)) as ai_cost_usd,
        max(_extracted_at) as _extracted_at
    from counted
    group by tenant_id, day, feature, user_key

)

select * from final
-- Whoever reads some days finds them together.
order by day
