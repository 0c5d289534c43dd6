-- Grain: one row per tenant_id, feature and month in which an entitlement was in force: what was bought, what was used,
-- and how many days of use like this month's are left.

with

entitlements as (

    select * from {{ ref('int_entitlements') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

engagement_daily as (

    select * from {{ ref('fct_engagement_daily') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

months as (

    select
        month,
        max(day) as last_day,
        count(*) as days_elapsed,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional
    from calendar
    group by month

),

-- What was in force when the month ended, or is now; of several, the one that began last.
limits as (

    select
        entitlements.tenant_id,
        entitlements.feature,
        entitlements.limit_value,
        entitlements.unit,
        months.month,
        months.last_day,
        months.days_elapsed,
        months.is_provisional
    from entitlements
    inner join months
        on
            {{ utc_day('entitlements.valid_from') }} <= months.last_day
            and ({{ utc_day('entitlements.valid_to') }} > months.last_day or entitlements.valid_to is null)
    where not entitlements.is_deleted
    qualify row_number() over (
        partition by entitlements.tenant_id, entitlements.feature, months.month
        order by entitlements.valid_from desc, entitlements.entitlement_id asc
    ) = 1

),

used as (

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'workflow_runs' as feature,
        sum(workflow_runs) as used
    from usage_daily
    group by tenant_id, {{ month_of('day') }}

    union all

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'api_requests' as feature,
        sum(api_requests) as used
    from usage_daily
    group by tenant_id, {{ month_of('day') }}

    union all

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'ai_tokens' as feature,
        sum(ai_tokens) as used
    from usage_daily
    group by tenant_id, {{ month_of('day') }}

    union all

    -- Seats are taken by whoever was active in the 28 days before; of a month, the most that ever were.
    select
        tenant_id,
        {{ month_of('day') }} as month,
        'seats' as feature,
        max(active_users_28d) as used
    from engagement_daily
    group by tenant_id, {{ month_of('day') }}

),

measured as (

    select
        limits.*,
        coalesce(used.used, 0) as used
    from limits
    left join used
        on
            limits.tenant_id = used.tenant_id
            and limits.feature = used.feature
            and limits.month = used.month

),

final as (

    select
        tenant_id,
        feature,
        month,
        is_provisional,
        unit,
        limit_value,
        cast(used as bigint) as used,
        {{ ratio('used', 'limit_value') }} as used_share,
        -- Whole days until the limit at the month's pace, rounded down; seats are not used up by the day.
        case
            when feature = 'seats' or limit_value is null then null
            when used >= limit_value then 0
            when used > 0
                then cast({{ integer_divide('(limit_value - used) * days_elapsed', 'used') }} as bigint)
        end as days_to_limit
    from measured

)

select * from final
