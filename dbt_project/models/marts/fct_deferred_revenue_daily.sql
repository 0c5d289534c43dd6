-- Grain: one row per customer_id, currency and day (UTC) on which anything is deferred, billed, credited or recognised.
-- opening + billed - credited - recognised = closing, to the cent, in every row.
-- Built whole on every run: an entry is recognised over all of its days, and a late one from the day it was booked.

with

entries as (

    select * from {{ ref('int_revenue_entries') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

bookings as (

    select
        entries.tenant_id,
        entries.customer_id,
        entries.currency,
        entries.booked_on as day,
        case when entries.kind = 'billed' then entries.amount else 0 end as billed,
        case when entries.kind <> 'billed' then -entries.amount else 0 end as credited,
        0 as recognised
    from entries
    inner join calendar on entries.booked_on = calendar.day

),

-- On the day of booking, all that is for days gone by is recognised at once.
recognitions as (

    select
        entries.tenant_id,
        entries.customer_id,
        entries.currency,
        calendar.day,
        0 as billed,
        0 as credited,
        {{ recognised_by('calendar.day') }}
        - case
            when calendar.day = entries.booked_on then 0
            else {{ recognised_by('(calendar.day - 1)') }}
        end as recognised
    from entries
    inner join calendar
        on
            greatest(entries.booked_on, entries.service_start) <= calendar.day
            and greatest(entries.booked_on, entries.service_start + cast(entries.service_days as integer) - 1)
            >= calendar.day

),

changes as (

    select * from bookings
    union all
    select * from recognitions

),

days as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        sum(billed) as billed,
        sum(credited) as credited,
        sum(recognised) as recognised
    from changes
    group by tenant_id, customer_id, currency, day
    having sum(billed) <> 0 or sum(credited) <> 0 or sum(recognised) <> 0

),

balances as (

    select
        *,
        sum(billed - credited - recognised) over (
            partition by customer_id, currency order by day rows between unbounded preceding and current row
        ) as closing,
        lead(day) over (partition by customer_id, currency order by day) as next_day
    from days

),

final as (

    select
        balances.tenant_id,
        balances.customer_id,
        balances.currency,
        calendar.day,
        calendar.is_provisional,
        cast(
            case
                when calendar.day = balances.day
                    then balances.closing - balances.billed + balances.credited + balances.recognised
                else balances.closing
            end as bigint
        ) as opening,
        {% for figure in ['billed', 'credited', 'recognised'] %}
            cast(case when calendar.day = balances.day then balances.{{ figure }} else 0 end as bigint) as {{ figure }},
        {% endfor %}
        cast(balances.closing as bigint) as closing
    from balances
    inner join calendar
        on
            balances.day <= calendar.day
            and (balances.next_day > calendar.day or balances.next_day is null)
    where
        calendar.day = balances.day
        or balances.closing <> 0

)

select * from final
