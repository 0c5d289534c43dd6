-- Grain: one row per tenant_id and reason: whom to offer more, as of the reporting day, and the figure that says so.

with

entitlement_usage as (

    select * from {{ ref('fct_entitlement_usage_monthly') }}

),

tenants as (

    select * from {{ ref('int_tenants') }}

),

features as (

    select * from {{ ref('fct_churn_risk_features') }}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

-- Who is about to leave or behind on payment is not offered more.
standing as (

    select
        features.tenant_id,
        features.mrr,
        {{ plus_months(month_of('reporting_day.reporting_day'), 1) }} - 1 - reporting_day.reporting_day as days_left
    from features
    inner join reporting_day on features.as_of_day = reporting_day.reporting_day
    where
        features.mrr > 0
        and features.mrr_leaving = 0
        and features.invoices_overdue = 0

),

final as (

    select
        entitlement_usage.tenant_id,
        case when entitlement_usage.feature = 'seats' then 'seats' else 'limit of ' || entitlement_usage.feature end
            as reason,
        tenants.plan,
        standing.mrr,
        entitlement_usage.limit_value,
        entitlement_usage.used,
        entitlement_usage.used_share,
        entitlement_usage.days_to_limit
    from entitlement_usage
    inner join standing on entitlement_usage.tenant_id = standing.tenant_id
    inner join tenants on entitlement_usage.tenant_id = tenants.tenant_id
    where
        entitlement_usage.is_provisional
        and (
            entitlement_usage.feature = 'seats' and entitlement_usage.used_share >= 0.9
            or entitlement_usage.days_to_limit <= standing.days_left
        )

)

select * from final
