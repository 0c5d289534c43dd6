-- Grain: one row per tenant_id and user_key (a pseudonym) with at least one usage event.
-- The 28 days end with the reporting day: the row of a user who stays away changes too, until the last one has left.

with

user_activity as (

    select * from {{ ref('int_user_activity_daily') }}
    where
        events > 0
        and user_key is not null

),

user_months as (

    select * from {{ ref('int_user_activity_monthly') }}
    where
        first_day is not null
        and user_key is not null

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

users as (

    select
        tenant_id,
        user_key,
        min(first_day) as first_active_day,
        max(last_day) as last_active_day
    from user_months
    group by tenant_id, user_key

),

recent_activity as (

    select user_activity.*
    from user_activity
    inner join reporting_day
        on
            user_activity.day > reporting_day.reporting_day - 28
            and user_activity.day <= reporting_day.reporting_day

),

recent_users as (

    select
        tenant_id,
        user_key,
        count(distinct day) as active_days_28d,
        sum(events) as events_28d
    from recent_activity
    group by tenant_id, user_key

),

feature_totals as (

    select
        tenant_id,
        user_key,
        feature,
        sum(events) as events_28d
    from recent_activity
    group by tenant_id, user_key, feature

),

top_features as (

    select
        tenant_id,
        user_key,
        feature as top_feature
    from feature_totals
    qualify row_number() over (partition by tenant_id, user_key order by events_28d desc, feature asc) = 1

),

final as (

    select
        users.tenant_id,
        users.user_key,
        users.first_active_day,
        users.last_active_day,
        cast(coalesce(recent_users.active_days_28d, 0) as bigint) as active_days_28d,
        cast(coalesce(recent_users.events_28d, 0) as bigint) as events_28d,
        top_features.top_feature
    from users
    left join recent_users
        on
            users.tenant_id = recent_users.tenant_id
            and users.user_key = recent_users.user_key
    left join top_features
        on
            users.tenant_id = top_features.tenant_id
            and users.user_key = top_features.user_key

)

select * from final
