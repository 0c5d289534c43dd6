-- Minutes add up to days: requests, failures, and the longest latency, which no count could hide.
{{ config(meta={'dagster': {'ref': {'name': 'fct_api_activity_minutely'}}}) }}

with

minutes as (

    select
        tenant_id,
        day,
        sum(requests) as requests,
        sum(failures) as failures,
        max(latency_ms) as latency_ms_max
    from {{ ref('fct_api_activity_minutely') }}
    group by tenant_id, day

),

days as (

    select
        tenant_id,
        day,
        events,
        failures,
        latency_ms_max
    from {{ ref('fct_latency_daily') }}
    where feature = 'api'

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
