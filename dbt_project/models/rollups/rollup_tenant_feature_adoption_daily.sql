-- Grain: one row per tenant_id, day (UTC) and feature that had at least one event on that day.
-- Built whole on every run, from the daily activity of users: its cost goes with user-days, not with events.

with

user_activity as (

    select * from {{ ref('int_user_activity_daily') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

features_daily as (

    select
        tenant_id,
        day,
        feature,
        count(distinct case when events > 0 then user_key end) as active_users,
        sum(events) as events
    from user_activity
    group by tenant_id, day, feature
    having sum(events) > 0

),

final as (

    select
        features_daily.tenant_id,
        features_daily.day,
        features_daily.feature,
        cast(features_daily.active_users as bigint) as active_users,
        cast(features_daily.events as bigint) as events,
        -- No user known that day (machine traffic only): nobody adopted, share zero.
        {{ share('features_daily.active_users', 'usage_daily.active_users') }} as adoption_share
    from features_daily
    inner join usage_daily
        on
            features_daily.tenant_id = usage_daily.tenant_id
            and features_daily.day = usage_daily.day

)

select * from final
