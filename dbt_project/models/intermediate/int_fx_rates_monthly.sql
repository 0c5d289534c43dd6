-- Grain: one row per currency and month of the calendar for which a rate is known: the latest of it and earlier ones.
{{ config(materialized='table') }}

with

fx_rates as (

    select * from {{ ref('fx_rates') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

months as (

    select distinct month from calendar

),

known_rates as (

    select
        cast(month as date) as month,
        lower(currency) as currency,
        cast(rate as decimal(18, 8)) as rate
    from fx_rates
    where lower(currency) <> '{{ var("reporting_currency") }}'

    union all

    select
        cast('1970-01-01' as date) as month,
        '{{ var("reporting_currency") }}' as currency,
        cast(1 as decimal(18, 8)) as rate

),

latest as (

    select
        months.month,
        known_rates.currency,
        known_rates.rate
    from months
    inner join known_rates on months.month >= known_rates.month
    qualify row_number() over (
        partition by months.month, known_rates.currency order by known_rates.month desc
    ) = 1

),

final as (

    select
        'all' as tenant_id,
        currency,
        month,
        rate,
        lag(rate, 1, rate) over (partition by currency order by month) as rate_before
    from latest

)

select * from final
