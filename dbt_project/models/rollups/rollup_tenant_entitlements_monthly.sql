-- Grain: one row per tenant_id, month and metric (what is limited) for which an entitlement was in force.
-- A limit is of a month and begins anew with the next one: what would be reached only then has no limit_day.

with

entitlement_usage as (

    select * from {{ ref('fct_entitlement_usage_monthly') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

months as (

    select
        month,
        max(day) as last_day,
        count(*) as days_elapsed,
        cast({{ plus_months('month', 1) }} - month as bigint) as days_in_month
    from calendar
    group by month

),

ai_cost as (

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'ai_tokens' as metric,
        cast(sum(ai_cost_usd) as decimal(18, 6)) as used_usd
    from usage_daily
    group by tenant_id, {{ month_of('day') }}

),

paced as (

    select
        entitlement_usage.tenant_id,
        entitlement_usage.month,
        entitlement_usage.feature as metric,
        entitlement_usage.unit,
        entitlement_usage.used,
        entitlement_usage.limit_value as included,
        entitlement_usage.used_share as share_used,
        entitlement_usage.days_to_limit,
        months.last_day,
        months.days_elapsed,
        months.days_in_month,
        ai_cost.used_usd,
        -- Seats are not used up by the day: they have no pace.
        entitlement_usage.feature <> 'seats' and entitlement_usage.used > 0 as has_pace
    from entitlement_usage
    inner join months on entitlement_usage.month = months.month
    left join ai_cost
        on
            entitlement_usage.tenant_id = ai_cost.tenant_id
            and entitlement_usage.month = ai_cost.month
            and entitlement_usage.feature = ai_cost.metric

),

-- The days after last_day until the limit is reached, the one on which that happens included.
counted as (

    select
        *,
        case
            when has_pace and included > used
                then {{ integer_divide('((included - used) * days_elapsed + used - 1)', 'used') }}
        end as days_until_reached
    from paced

),

final as (

    select
        tenant_id,
        month,
        metric,
        unit,
        used,
        included,
        share_used,
        case
            when has_pace
                then
                    cast(
                        {{ integer_divide('(2 * used * days_in_month + days_elapsed)', '(2 * days_elapsed)') }}
                        as bigint
                    )
            else used
        end as forecast_month_end,
        days_to_limit,
        case
            when days_until_reached <= days_in_month - days_elapsed
                then cast(last_day + cast(days_until_reached as integer) as date)
        end as limit_day,
        used_usd,
        -- What the included tokens cost at the month's own mean price, rounded half up.
        cast(
            case
                when used > 0 and used_usd is not null
                    then
                        cast(
                            {{ integer_divide(
                                "(2 * included * cast(used_usd * 1000000 as decimal(24, 0)) + used)", "(2 * used)"
                            ) }} as decimal(18, 0)
                        ) * cast(0.000001 as decimal(7, 6))
            end as decimal(18, 6)
        ) as included_usd
    from counted

)

select * from final
