-- Grain: one row per crm, opportunity_id and day (UTC) on which the opportunity was known and open.
-- Built whole on every run, from the versions of opportunities, of which there are few.

with

opportunities_snapshot as (

    select * from {{ ref('opportunities_snapshot') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

versions as (

    select
        *,
        {{ utc_day('dbt_valid_from') }} as first_day,
        {{ utc_day('dbt_valid_to') }} as last_day
    from opportunities_snapshot

),

final as (

    select
        versions.tenant_id,
        versions.crm,
        versions.opportunity_id,
        calendar.day,
        versions.pipeline,
        versions.stage,
        versions.amount,
        versions.currency,
        versions.close_date,
        versions.close_date < calendar.day as is_overdue
    from versions
    inner join calendar
        on
            versions.first_day <= calendar.day
            and (versions.last_day > calendar.day or versions.last_day is null)
    where
        versions.outcome = 'open'
        and not versions.is_deleted

)

select * from final
