-- Grain: one row per usage event of the product. The canonical stream: an adopter maps their own events to it.
{{ config(materialized='view') }}

with

workflow_runs as (

    select * from {{ ref('stg_app__workflow_runs') }}

),

tasks as (

    select * from {{ ref('stg_app__tasks') }}

),

comments as (

    select * from {{ ref('stg_app__comments') }}

),

api_requests as (

    select * from {{ ref('stg_app__api_requests') }}

),

ai_requests as (

    select * from {{ ref('int_ai_requests') }}

),

all_events as (

    select
        tenant_id,
        'workflows' as feature,
        {{ utc_day('started_at') }} as day,
        started_at as occurred_at,
        started_by as user_key,
        status = 'failed' as is_failure,
        duration_ms as latency_ms,
        0 as ai_tokens,
        0 as ai_cost_usd,
        is_deleted,
        _extracted_at
    from workflow_runs

    union all

    select
        tenant_id,
        'tasks' as feature,
        {{ utc_day('completed_at') }} as day,
        completed_at as occurred_at,
        assignee_id as user_key,
        false as is_failure,
        cast(null as integer) as latency_ms,
        0 as ai_tokens,
        0 as ai_cost_usd,
        is_deleted,
        _extracted_at
    from tasks

    union all

    select
        tenant_id,
        'comments' as feature,
        {{ utc_day('created_at') }} as day,
        created_at as occurred_at,
        author_id as user_key,
        false as is_failure,
        cast(null as integer) as latency_ms,
        0 as ai_tokens,
        0 as ai_cost_usd,
        is_deleted,
        _extracted_at
    from comments

    union all

    select
        tenant_id,
        'api' as feature,
        {{ utc_day('occurred_at') }} as day,
        occurred_at,
        user_id as user_key,
        status_code >= 500 as is_failure,
        latency_ms,
        0 as ai_tokens,
        0 as ai_cost_usd,
        is_deleted,
        _extracted_at
    from api_requests

    union all

    select
        tenant_id,
        'ai' as feature,
        day,
        occurred_at,
        user_key,
        false as is_failure,
        cast(null as integer) as latency_ms,
        prompt_tokens + completion_tokens as ai_tokens,
        cost_usd as ai_cost_usd,
        is_deleted,
        _extracted_at
    from ai_requests

),

final as (

    -- No day: a task that is not completed, or a row deleted before it ever landed, of which only the key is known.
    select * from all_events
    where day is not null

)

select * from final
