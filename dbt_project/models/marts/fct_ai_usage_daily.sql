-- Grain: one row per tenant_id, day (UTC) and model of AI that answered a request.
-- Whole slices (tenant, day) are computed anew when any of their requests changed.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day', 'model'],
        on_schema_change='fail',
        post_hook='delete from {{ this }} where requests = 0',
    )
}}

with

ai_requests {{ as_read_in_place() }} (

    select * from {{ ref('int_ai_requests') }}

),

{% if is_incremental() %}

    touched_slices as (

        select distinct
            tenant_id,
            day
        from ai_requests
        where {{ extracted_since_last_build('_extracted_at') }}

    ),

    -- Comparisons that an engine can hold against what it knows of its blocks: it reads the days, not the history.
    reach as (

        {{ reach_of('touched_slices') }}

    ),

    requests_to_count as (

        select ai_requests.*
        from ai_requests
        inner join reach
            on
                ai_requests.occurred_at >= reach.begins_at
                and ai_requests.occurred_at < reach.ends_at
        inner join touched_slices
            on
                ai_requests.tenant_id = touched_slices.tenant_id
                and ai_requests.day = touched_slices.day

    ),

{% else %}

    requests_to_count as (

        select * from ai_requests

    ),

{% endif %}

final as (

    select
        tenant_id,
        day,
        coalesce(model, 'unknown') as model,
        cast(count(case when not is_deleted then 1 end) as bigint) as requests,
        cast(count(distinct case when not is_deleted then user_key end) as bigint) as users,
        cast(coalesce(sum(case when not is_deleted then prompt_tokens end), 0) as bigint) as prompt_tokens,
        cast(coalesce(sum(case when not is_deleted then completion_tokens end), 0) as bigint) as completion_tokens,
        cast(coalesce(sum(case when not is_deleted then cost_usd end), 0) as decimal(18, 6)) as cost_usd,
        max(_extracted_at) as _extracted_at
    from requests_to_count
    group by tenant_id, day, coalesce(model, 'unknown')

)

select * from final
