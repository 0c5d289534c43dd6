-- Grain: one row per tenant_id, day (UTC) and feature that had at least one event on that day.
-- Built whole on every run, from two tables of counts: a share changes with any feature's users; no event is read.

with

features_daily as (

    select * from {{ ref('int_feature_activity_daily') }}
    where events > 0

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

final as (

    select
        features_daily.tenant_id,
        features_daily.day,
        features_daily.feature,
        features_daily.active_users,
        features_daily.events,
        -- No user known that day (machine traffic only): nobody adopted, share zero.
        {{ share('features_daily.active_users', 'usage_daily.active_users') }} as adoption_share
    from features_daily
    inner join usage_daily
        on
            features_daily.tenant_id = usage_daily.tenant_id
            and features_daily.day = usage_daily.day

)

select * from final
