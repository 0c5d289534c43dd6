-- Grain: one row per tenant_id and day (UTC) up to 27 days after one with usage, whether or not anything happened on
-- it: who was active in the 7 (28) days that end with it, and in how many features.
-- A day that changed changes the windows of the 27 days after it, and these take in the 27 days before them. So each
-- tenant is counted anew from its first touched day to the last that a touched day reaches, from those days alone.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day'],
        on_schema_change='fail',
    )
}}

with

user_activity {{ as_read_in_place() }} (

    select * from {{ ref('int_user_activity_daily') }}

),

feature_activity {{ as_read_in_place() }} (

    select * from {{ ref('int_feature_activity_daily') }}

),

{% if is_incremental() %}

    touched_tenants as (

        select
            tenant_id,
            min(day) as first_day,
            max(day) + 27 as last_day
        from feature_activity
        where {{ extracted_since_last_build('_extracted_at') }}
        group by tenant_id

    ),

    -- The same for all of them, for an engine to hold against what it knows of its blocks.
    reach as (

        select
            coalesce(min(first_day), cast('9999-12-31' as date)) - 27 as first_day,
            coalesce(max(last_day), cast('0001-01-01' as date)) as last_day
        from touched_tenants

    ),

    users_to_count as (

        select user_activity.*
        from user_activity
        inner join reach
            on
                user_activity.day >= reach.first_day
                and user_activity.day <= reach.last_day
        inner join touched_tenants
            on
                user_activity.tenant_id = touched_tenants.tenant_id
                and user_activity.day >= touched_tenants.first_day - 27
                and user_activity.day <= touched_tenants.last_day

    ),

    features_to_count as (

        select feature_activity.*
        from feature_activity
        inner join touched_tenants
            on
                feature_activity.tenant_id = touched_tenants.tenant_id
                and feature_activity.day >= touched_tenants.first_day - 27
                and feature_activity.day <= touched_tenants.last_day

    ),

{% else %}

    users_to_count as (

        select * from user_activity

    ),

    features_to_count as (

        select * from feature_activity

    ),

{% endif %}

user_days as (

    select distinct
        tenant_id,
        user_key,
        day
    from users_to_count
    where
        events > 0
        and user_key is not null

),

-- A user is in the window of n days from the day of an activity until n days later or the next activity, whichever
-- comes first. These stretches never overlap, so distinct users need no distinct: entries minus exits, summed up.
stretches as (

    select
        tenant_id,
        day,
        1 as of_users,
        0 as of_features,
        lead(day) over (partition by tenant_id, user_key order by day) as next_day
    from user_days

    union all

    select
        tenant_id,
        day,
        0 as of_users,
        1 as of_features,
        lead(day) over (partition by tenant_id, feature order by day) as next_day
    from features_to_count
    where events > 0

),

used_days as (

    select
        tenant_id,
        day,
        max(_extracted_at) as _extracted_at,
        lead(day) over (partition by tenant_id order by day) as next_day
    from features_to_count
    group by tenant_id, day

),

offsets as (

    {% for days in range(28) -%}
        select {{ days }} as days
        {%- if not loop.last %}
            union all
        {%- endif %}
    {% endfor %}

),

steps as (

    select
        tenant_id,
        day,
        of_users as users_7d,
        of_users as users_28d,
        of_features as features_28d,
        0 as is_reached
    from stretches

    union all

    select
        tenant_id,
        least(day + 7, coalesce(next_day, day + 7)) as day,
        -of_users as users_7d,
        0 as users_28d,
        0 as features_28d,
        0 as is_reached
    from stretches
    where of_users > 0

    union all

    select
        tenant_id,
        least(day + 28, coalesce(next_day, day + 28)) as day,
        0 as users_7d,
        -of_users as users_28d,
        -of_features as features_28d,
        0 as is_reached
    from stretches

    union all

    -- Every day that a window reaches gets a row of its own: those from a day with usage to the next one.
    select
        used_days.tenant_id,
        used_days.day + offsets.days as day,
        0 as users_7d,
        0 as users_28d,
        0 as features_28d,
        1 as is_reached
    from used_days
    inner join offsets on offsets.days < least(coalesce(used_days.next_day - used_days.day, 28), 28)

),

windows as (

    select
        tenant_id,
        day,
        sum(sum(users_7d)) over (partition by tenant_id order by day) as active_users_7d,
        sum(sum(users_28d)) over (partition by tenant_id order by day) as active_users_28d,
        sum(sum(features_28d)) over (partition by tenant_id order by day) as features_28d,
        -- Where the last window ends is a step, and no row.
        max(is_reached) = 1 as is_reached
    from steps
    group by tenant_id, day

),

final as (

    select
        windows.tenant_id,
        windows.day,
        cast(windows.active_users_7d as bigint) as active_users_7d,
        cast(windows.active_users_28d as bigint) as active_users_28d,
        cast(windows.features_28d as bigint) as features_28d,
        used_days._extracted_at
    from windows
    left join used_days
        on
            windows.tenant_id = used_days.tenant_id
            and windows.day = used_days.day
    {%- if is_incremental() %}
        -- Windows of earlier days were begun in the middle.
        inner join touched_tenants
            on
                windows.tenant_id = touched_tenants.tenant_id
                and windows.day >= touched_tenants.first_day
                and windows.day <= touched_tenants.last_day
    {%- endif %}
    where windows.is_reached

)

select * from final
