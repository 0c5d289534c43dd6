-- Grain: one row per request to an AI model. An adopter maps their own requests to it.
{{ config(materialized='view') }}

with

ai_requests as (

    select * from {{ ref('stg_app__ai_requests') }}

),

final as (

    select
        tenant_id,
        id as request_id,
        {{ utc_day('occurred_at') }} as day,
        occurred_at,
        user_id as user_key,
        model,
        coalesce(prompt_tokens, 0) as prompt_tokens,
        coalesce(completion_tokens, 0) as completion_tokens,
        coalesce(cost_usd, 0) as cost_usd,
        is_deleted,
        _extracted_at
    from ai_requests
    -- Deleted before it ever landed: only the key is known.
    where occurred_at is not null

)

select * from final
