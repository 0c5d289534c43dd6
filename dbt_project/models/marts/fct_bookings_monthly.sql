-- Grain: one row per crm, currency and month of closing: what sales won and lost, and how long it took.

with

opportunities as (

    select * from {{ ref('int_opportunities') }}

),

-- What was lost is often deleted in the CRM afterwards, and was lost all the same; what was won and deleted was a
-- mistake.
closed as (

    select
        *,
        {{ month_of('close_date') }} as month,
        close_date - {{ utc_day('created_at') }} as days_to_close
    from opportunities
    where
        outcome = 'lost'
        or (outcome = 'won' and not is_deleted)

),

final as (

    select
        'all' as tenant_id,
        crm,
        currency,
        month,
        cast(count(case when outcome = 'won' then 1 end) as bigint) as won,
        cast(count(case when outcome = 'lost' then 1 end) as bigint) as lost,
        cast(coalesce(sum(case when outcome = 'won' then amount end), 0) as decimal(18, 4)) as bookings,
        {{ share("count(case when outcome = 'won' then 1 end)", 'count(*)') }} as win_rate,
        cast(percentile_disc(0.5) within group (
            order by case when outcome = 'won' then days_to_close end
        ) as bigint) as median_days_to_win
    from closed
    where close_date is not null and currency is not null
    group by crm, currency, month

)

select * from final
