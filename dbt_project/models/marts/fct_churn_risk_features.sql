-- Grain: one row per tenant_id and as_of_day, the last day of every month and the reporting day, on which the tenant
-- has a subscription that is in force or paused. Every feature is made of what happened up to as_of_day; the label
-- alone looks ahead. Built whole on every run, from daily marts.

with

tenants as (

    select * from {{ ref('int_tenants') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

engagement_daily as (

    select * from {{ ref('fct_engagement_daily') }}

),

active_users as (

    select * from {{ ref('int_active_users_daily') }}

),

mrr_daily as (

    select * from {{ ref('fct_mrr_daily') }}

),

movements as (

    select * from {{ ref('fct_mrr_movements') }}

),

invoices as (

    select * from {{ ref('fct_invoices') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

days as (

    select
        calendar.day,
        reporting_day.reporting_day
    from calendar
    cross join reporting_day
    where calendar.is_month_end or calendar.day = reporting_day.reporting_day

),

mrr as (

    select
        mrr_daily.tenant_id,
        days.day as as_of_day,
        sum({{ converted('mrr_daily.mrr', 'fx_rates.rate') }}) as mrr,
        sum({{ converted('mrr_daily.mrr_leaving', 'fx_rates.rate') }}) as mrr_leaving,
        sum({{ converted('mrr_daily.mrr_paused', 'fx_rates.rate') }}) as mrr_paused
    from mrr_daily
    inner join days on mrr_daily.day = days.day
    inner join fx_rates
        on
            mrr_daily.currency = fx_rates.currency
            and {{ month_of('mrr_daily.day') }} = fx_rates.month
    group by mrr_daily.tenant_id, days.day

),

contractions as (

    select
        movements.tenant_id,
        days.day as as_of_day,
        count(*) as contractions_90d
    from movements
    inner join days
        on
            movements.day <= days.day
            and movements.day > days.day - 90
    where movements.movement_type in ('contraction', 'paused')
    group by movements.tenant_id, days.day

),

usage as (

    select
        usage_daily.tenant_id,
        days.day as as_of_day,
        max(usage_daily.day) as last_used_on,
        sum(
            case
                when usage_daily.day > days.day - 28
                    then
                        usage_daily.workflow_runs + usage_daily.tasks_completed + usage_daily.comments
                        + usage_daily.api_requests + usage_daily.ai_requests
                else 0
            end
        ) as events_28d,
        sum(
            case
                when usage_daily.day <= days.day - 28 and usage_daily.day > days.day - 56
                    then
                        usage_daily.workflow_runs + usage_daily.tasks_completed + usage_daily.comments
                        + usage_daily.api_requests + usage_daily.ai_requests
                else 0
            end
        ) as events_28d_before,
        sum(case when usage_daily.day > days.day - 28 then usage_daily.api_requests else 0 end) as api_requests_28d,
        sum(case when usage_daily.day > days.day - 28 then usage_daily.api_errors else 0 end) as api_errors_28d
    from usage_daily
    inner join days on usage_daily.day <= days.day
    group by usage_daily.tenant_id, days.day

),

-- Seats as they stood on the last day with any usage.
seats as (

    select
        usage.tenant_id,
        usage.as_of_day,
        engagement_daily.seats_bought
    from usage
    inner join engagement_daily
        on
            usage.tenant_id = engagement_daily.tenant_id
            and usage.last_used_on = engagement_daily.day

),

overdue as (

    select
        invoices.tenant_id,
        days.day as as_of_day,
        count(*) as invoices_overdue
    from invoices
    inner join days
        on
            invoices.due_on < days.day
            and (invoices.paid_on > days.day or invoices.paid_on is null)
            and (invoices.given_up_on > days.day or invoices.given_up_on is null)
    group by invoices.tenant_id, days.day

),

churns as (

    select
        movements.tenant_id,
        days.day as as_of_day,
        count(*) as churns_90d
    from movements
    inner join days
        on
            movements.day > days.day
            and movements.day <= days.day + 90
    where movements.movement_type = 'churn'
    group by movements.tenant_id, days.day

),

final as (

    select
        tenants.tenant_id,
        days.day as as_of_day,
        cast(days.day - {{ utc_day('tenants.created_at') }} as bigint) as days_since_signup,
        cast(days.day - usage.last_used_on as bigint) as days_since_use,
        cast(coalesce(active_users.active_users_28d, 0) as bigint) as active_users_28d,
        seats.seats_bought,
        cast(coalesce(active_users.features_28d, 0) as bigint) as features_28d,
        cast(coalesce(usage.events_28d, 0) as bigint) as events_28d,
        cast(coalesce(usage.events_28d_before, 0) as bigint) as events_28d_before,
        cast(coalesce(usage.api_requests_28d, 0) as bigint) as api_requests_28d,
        cast(coalesce(usage.api_errors_28d, 0) as bigint) as api_errors_28d,
        cast(mrr.mrr as decimal(18, 4)) as mrr,
        cast(mrr.mrr_leaving as decimal(18, 4)) as mrr_leaving,
        cast(mrr.mrr_paused as decimal(18, 4)) as mrr_paused,
        cast(coalesce(contractions.contractions_90d, 0) as bigint) as contractions_90d,
        cast(coalesce(overdue.invoices_overdue, 0) as bigint) as invoices_overdue,
        case
            when churns.churns_90d > 0 then true
            when days.day + 90 <= days.reporting_day then false
        end as churned_within_90d
    from mrr
    inner join days on mrr.as_of_day = days.day
    inner join tenants on mrr.tenant_id = tenants.tenant_id
    left join usage
        on
            mrr.tenant_id = usage.tenant_id
            and mrr.as_of_day = usage.as_of_day
    left join active_users
        on
            mrr.tenant_id = active_users.tenant_id
            and mrr.as_of_day = active_users.day
    left join seats
        on
            mrr.tenant_id = seats.tenant_id
            and mrr.as_of_day = seats.as_of_day
    left join contractions
        on
            mrr.tenant_id = contractions.tenant_id
            and mrr.as_of_day = contractions.as_of_day
    left join overdue
        on
            mrr.tenant_id = overdue.tenant_id
            and mrr.as_of_day = overdue.as_of_day
    left join churns
        on
            mrr.tenant_id = churns.tenant_id
            and mrr.as_of_day = churns.as_of_day

)

select * from final
