-- Minutes add up to days: requests, failures, and the longest latency, which no count could hide. Looked at are the
-- slices (tenant, day) that were counted anew lately, since no other can have changed; in a full refresh, or with var
-- `reconcile_all_usage`, all.
{{ config(meta={'dagster': {'ref': {'name': 'fct_api_activity_minutely'}}}) }}

with

all_minutes {{ as_read_in_place() }} (

    select * from {{ ref('fct_api_activity_minutely') }}

),

all_days {{ as_read_in_place() }} (

    select * from {{ ref('fct_latency_daily') }}
    where feature = 'api'

),

counted_lately as (

    select
        tenant_id,
        day
    from all_minutes
    where {{ extracted_lately(ref('fct_api_activity_minutely'), 3) }}

    union

    select
        tenant_id,
        day
    from all_days
    where {{ extracted_lately(ref('fct_latency_daily'), 3) }}

),

-- For an engine to hold against what it knows of its blocks.
reach as (

    select
        min(day) as first_day,
        max(day) as last_day
    from counted_lately

),

minutes as (

    select
        all_minutes.tenant_id,
        all_minutes.day,
        sum(all_minutes.requests) as requests,
        sum(all_minutes.failures) as failures,
        max(all_minutes.latency_ms) as latency_ms_max
    from all_minutes
    inner join reach
        on
            all_minutes.day >= reach.first_day
            and all_minutes.day <= reach.last_day
    inner join counted_lately
        on
            all_minutes.tenant_id = counted_lately.tenant_id
            and all_minutes.day = counted_lately.day
    group by all_minutes.tenant_id, all_minutes.day

),

days as (

    select
        all_days.tenant_id,
        all_days.day,
        all_days.events,
        all_days.failures,
        all_days.latency_ms_max
    from all_days
    inner join counted_lately
        on
            all_days.tenant_id = counted_lately.tenant_id
            and all_days.day = counted_lately.day

),

final as (

    select
        coalesce(minutes.tenant_id, days.tenant_id) as tenant_id,
        coalesce(minutes.day, days.day) as day
    from minutes
    full join days
        on
            minutes.tenant_id = days.tenant_id
            and minutes.day = days.day
    where
        minutes.requests is distinct from days.events
        or minutes.failures is distinct from days.failures
        or minutes.latency_ms_max is distinct from days.latency_ms_max

)

select * from final
