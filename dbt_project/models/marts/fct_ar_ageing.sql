-- Grain: one row per customer_id, currency, day and bucket with anything owed, for the last day of every month and the
-- reporting day: what was owed when the day ended, by how long it had been due.

with

invoices as (

    select * from {{ ref('fct_invoices') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

days as (

    select calendar.day
    from calendar
    cross join reporting_day
    where calendar.is_month_end or calendar.day = reporting_day.reporting_day

),

-- What is paid in part is known as of now alone: for a day in the past the whole invoice was owed until it was settled.
owed as (

    select
        invoices.tenant_id,
        invoices.customer_id,
        invoices.currency,
        days.day,
        days.day - invoices.due_on as days_past_due,
        case
            when invoices.paid_on is null and invoices.given_up_on is null and days.day = reporting_day.reporting_day
                then invoices.amount_remaining
            else invoices.amount_due
        end as amount
    from invoices
    inner join days
        on
            invoices.finalized_on <= days.day
            and (invoices.paid_on > days.day or invoices.paid_on is null)
            and (invoices.given_up_on > days.day or invoices.given_up_on is null)
    cross join reporting_day

),

bucketed as (

    select
        *,
        case
            when days_past_due <= 0 then 'current'
            when days_past_due <= 30 then '1-30'
            when days_past_due <= 60 then '31-60'
            when days_past_due <= 90 then '61-90'
            else '90+'
        end as bucket
    from owed
    where amount > 0

),

summed as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        bucket,
        count(*) as invoices,
        sum(amount) as amount
    from bucketed
    group by tenant_id, customer_id, currency, day, bucket

),

final as (

    select
        summed.tenant_id,
        summed.customer_id,
        summed.currency,
        summed.day,
        summed.bucket,
        cast(summed.invoices as bigint) as invoices,
        cast(summed.amount as bigint) as amount,
        cast('{{ var("reporting_currency") }}' as varchar) as reporting_currency,
        case
            when fx_rates.rate is null
                then
                    {{ raise_error("'no rate in fx_rates: ' || summed.currency || ', ' || summed.day") }}
            else {{ converted('summed.amount', 'fx_rates.rate') }}
        end as reporting_amount
    from summed
    left join fx_rates
        on
            summed.currency = fx_rates.currency
            and {{ month_of('summed.day') }} = fx_rates.month

)

select * from final
