-- Grain: one row per tenant_id, minute (UTC), endpoint, method, user_key (null: a service key) and latency_ms.
-- Whole slices (tenant, day) are counted anew when any of their calls changed; one whose calls were all deleted is
-- removed after. Latency is part of the grain so that percentiles over any stretch of time are exact.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day'],
        on_schema_change='fail',
        post_hook='delete from {{ this }} where requests = 0',
    )
}}

with

api_requests {{ as_read_in_place() }} (

    select
        *,
        {{ utc_day('occurred_at') }} as day
    from {{ ref('stg_app__api_requests') }}
    -- No time: a row deleted before it ever landed, of which only the key is known.
    where occurred_at is not null

),

{% if is_incremental() %}

    touched_days as (

        select
            tenant_id,
            day
        from api_requests
        where {{ extracted_since_last_build('_extracted_at') }}
        group by tenant_id, day

    ),

    reach as (

        {{ reach_of('touched_days') }}

    ),

    requests_to_count as (

        select api_requests.*
        from api_requests
        inner join reach
            on
                api_requests.occurred_at >= reach.begins_at
                and api_requests.occurred_at < reach.ends_at
        inner join touched_days
            on
                api_requests.tenant_id = touched_days.tenant_id
                and api_requests.day = touched_days.day

    ),

{% else %}

    requests_to_count as (

        select * from api_requests

    ),

{% endif %}

final as (

    select
        tenant_id,
        day,
        date_trunc('minute', occurred_at) as minute,
        endpoint,
        method,
        user_id as user_key,
        cast(latency_ms as bigint) as latency_ms,
        cast(count(case when not is_deleted then 1 end) as bigint) as requests,
        cast(count(case when not is_deleted and status_code >= 500 then 1 end) as bigint) as failures,
        max(_extracted_at) as _extracted_at
    from requests_to_count
    group by tenant_id, day, date_trunc('minute', occurred_at), endpoint, method, user_id, cast(latency_ms as bigint)

)

select * from final
-- Whoever reads some days finds them together.
order by day
