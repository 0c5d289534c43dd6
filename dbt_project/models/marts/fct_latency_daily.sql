-- Grain: one row per tenant_id, day (UTC) and feature with events whose time was taken: API requests, workflow runs.
-- Whole slices are computed anew when any of their events changed; one whose events were all deleted is removed after.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day', 'feature'],
        on_schema_change='fail',
        post_hook='delete from {{ this }} where events = 0',
    )
}}

with

usage_events {{ as_read_in_place() }} (

    select * from {{ ref('int_usage_events') }}
    where feature in ('api', 'workflows')

),

{% if is_incremental() %}

    {{ events_of_touched_slices(['api', 'workflows']) }}

{% else %}

    events_to_count as (

        select * from usage_events

    ),

{% endif %}

counted as (

    select
        tenant_id,
        day,
        feature,
        count(case when not is_deleted then 1 end) as events,
        count(case when not is_deleted and is_failure then 1 end) as failures,
        percentile_disc(0.5) within group (order by case when not is_deleted then latency_ms end) as latency_ms_p50,
        percentile_disc(0.95) within group (order by case when not is_deleted then latency_ms end) as latency_ms_p95,
        max(case when not is_deleted then latency_ms end) as latency_ms_max,
        max(_extracted_at) as _extracted_at
    from events_to_count
    group by tenant_id, day, feature

),

final as (

    select
        tenant_id,
        day,
        feature,
        cast(events as bigint) as events,
        cast(failures as bigint) as failures,
        {{ share('failures', 'events') }} as error_share,
        cast(latency_ms_p50 as bigint) as latency_ms_p50,
        cast(latency_ms_p95 as bigint) as latency_ms_p95,
        cast(latency_ms_max as bigint) as latency_ms_max,
        _extracted_at
    from counted

)

select * from final
