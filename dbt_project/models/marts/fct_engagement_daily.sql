-- Grain: one row per tenant_id and day (UTC) on which the tenant has at least one usage event.
-- Built whole on every run, from the daily activity of users: its cost goes with user-days, not with events.

with

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

user_days as (

    select distinct
        tenant_id,
        user_key,
        day
    from {{ ref('int_user_activity_daily') }}
    where
        events > 0
        and user_key is not null

),

seats as (

    select * from {{ ref('int_entitlements') }}
    where
        feature = 'seats'
        and not is_deleted

),

-- A user is in the window of n days from the day of an activity until n days later or the next activity, whichever
-- comes first. These stretches never overlap, so distinct users need no distinct: entries minus exits, summed up.
stretches as (

    select
        tenant_id,
        day,
        lead(day) over (partition by tenant_id, user_key order by day) as next_day
    from user_days

),

steps as (

    select
        tenant_id,
        day,
        1 as step_7d,
        1 as step_28d
    from stretches

    union all

    select
        tenant_id,
        least(day + 7, coalesce(next_day, day + 7)) as day,
        -1 as step_7d,
        0 as step_28d
    from stretches

    union all

    select
        tenant_id,
        least(day + 28, coalesce(next_day, day + 28)) as day,
        0 as step_7d,
        -1 as step_28d
    from stretches

    union all

    -- Days with traffic but no known user still need their count.
    select
        tenant_id,
        day,
        0 as step_7d,
        0 as step_28d
    from usage_daily

),

windows as (

    select
        tenant_id,
        day,
        sum(sum(step_7d)) over (partition by tenant_id order by day) as active_users_7d,
        sum(sum(step_28d)) over (partition by tenant_id order by day) as active_users_28d
    from steps
    group by tenant_id, day

),

-- What was bought when the day ended; of several at once, the one that began last.
seats_bought as (

    select
        usage_daily.tenant_id,
        usage_daily.day,
        seats.limit_value as seats
    from usage_daily
    inner join seats
        on
            usage_daily.tenant_id = seats.tenant_id
            and {{ utc_day('seats.valid_from') }} <= usage_daily.day
            and ({{ utc_day('seats.valid_to') }} > usage_daily.day or seats.valid_to is null)
    qualify row_number() over (
        partition by usage_daily.tenant_id, usage_daily.day order by seats.valid_from desc, seats.entitlement_id asc
    ) = 1

),

final as (

    select
        usage_daily.tenant_id,
        usage_daily.day,
        usage_daily.active_users,
        cast(windows.active_users_7d as bigint) as active_users_7d,
        cast(windows.active_users_28d as bigint) as active_users_28d,
        {{ share('usage_daily.active_users', 'windows.active_users_28d') }} as stickiness,
        seats_bought.seats as seats_bought,
        {{ ratio('windows.active_users_28d', 'seats_bought.seats') }} as seat_use
    from usage_daily
    inner join windows
        on
            usage_daily.tenant_id = windows.tenant_id
            and usage_daily.day = windows.day
    left join seats_bought
        on
            usage_daily.tenant_id = seats_bought.tenant_id
            and usage_daily.day = seats_bought.day

)

select * from final
