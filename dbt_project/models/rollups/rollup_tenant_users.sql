-- Grain: one row per tenant_id and user_key (a pseudonym) with at least one usage event.
-- The 28 days end with the reporting day: the row of a user who stays away changes too, until the last one has left.

with

user_activity as (

    select * from {{ ref('int_user_activity_daily') }}
    where
        events > 0
        and user_key is not null

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

counted as (

    select
        user_activity.tenant_id,
        user_activity.user_key,
        user_activity.feature,
        user_activity.day,
        case
            when
                user_activity.day > reporting_day.reporting_day - 28
                and user_activity.day <= reporting_day.reporting_day
                then user_activity.events
            else 0
        end as events_28d
    from user_activity
    cross join reporting_day

),

feature_totals as (

    select
        tenant_id,
        user_key,
        feature,
        sum(events_28d) as events_28d
    from counted
    group by tenant_id, user_key, feature

),

top_features as (

    select
        tenant_id,
        user_key,
        feature as top_feature
    from feature_totals
    where events_28d > 0
    qualify row_number() over (partition by tenant_id, user_key order by events_28d desc, feature asc) = 1

),

users as (

    select
        tenant_id,
        user_key,
        min(day) as first_active_day,
        max(day) as last_active_day,
        cast(count(distinct case when events_28d > 0 then day end) as bigint) as active_days_28d,
        cast(sum(events_28d) as bigint) as events_28d
    from counted
    group by tenant_id, user_key

),

final as (

    select
        users.tenant_id,
        users.user_key,
        users.first_active_day,
        users.last_active_day,
        users.active_days_28d,
        users.events_28d,
        top_features.top_feature
    from users
    left join top_features
        on
            users.tenant_id = top_features.tenant_id
            and users.user_key = top_features.user_key

)

select * from final
