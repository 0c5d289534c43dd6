-- Grain: one row per tenant_id, day (UTC) and model of AI that answered a request of the tenant.

with

ai_usage_daily as (

    select * from {{ ref('fct_ai_usage_daily') }}

),

final as (

    select
        tenant_id,
        day,
        model,
        requests,
        prompt_tokens + completion_tokens as tokens,
        cost_usd
    from ai_usage_daily

)

select * from final
