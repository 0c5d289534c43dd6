-- Grain: one row per tenant_id and day (UTC) on which the tenant has at least one usage event.
-- Built whole on every run, from tables of the same grain: an entitlement may change for days long gone. What reads
-- users, int_active_users_daily, is incremental.

with

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

windows as (

    select * from {{ ref('int_active_users_daily') }}

),

seats as (

    select * from {{ ref('int_entitlements') }}
    where
        feature = 'seats'
        and not is_deleted

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
        windows.active_users_7d,
        windows.active_users_28d,
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
