-- Grain: one row per tenant_id: how it came from signing up to using the product.
-- Built whole on every run: it looks through all tenants' history for the first of each, in tables of days and months.

with

tenants as (

    select * from {{ ref('int_tenants') }}

),

usage_daily as (

    select * from {{ ref('fct_usage_daily') }}

),

features_daily as (

    select * from {{ ref('int_feature_activity_daily') }}
    where events > 0

),

user_months as (

    select * from {{ ref('int_user_activity_monthly') }}
    where
        first_day is not null
        and user_key is not null

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

-- Activated: so many users in so many features since signing up.
first_uses as (

    select
        tenant_id,
        feature,
        min(day) as day,
        row_number() over (partition by tenant_id order by min(day), feature) as number
    from features_daily
    group by tenant_id, feature

),

first_users as (

    select
        tenant_id,
        user_key,
        min(first_day) as day,
        row_number() over (partition by tenant_id order by min(first_day), user_key) as number
    from user_months
    group by tenant_id, user_key

),

milestones as (

    select
        tenants.tenant_id,
        {{ utc_day('tenants.created_at') }} as signed_up_on,
        min(usage_daily.day) as first_used_on
    from tenants
    left join usage_daily on tenants.tenant_id = usage_daily.tenant_id
    where not tenants.is_deleted
    group by tenants.tenant_id, {{ utc_day('tenants.created_at') }}

),

dated as (

    select
        milestones.*,
        -- The engines differ in what greatest() makes of null.
        case
            when first_users.day > first_uses.day or first_users.day is null then first_users.day
            else first_uses.day
        end as reached_on,
        reporting_day.reporting_day
    from milestones
    left join first_uses
        on
            milestones.tenant_id = first_uses.tenant_id
            and first_uses.number = {{ var('activation_features') }}
    left join first_users
        on
            milestones.tenant_id = first_users.tenant_id
            and first_users.number = {{ var('activation_users') }}
    cross join reporting_day

),

final as (

    select
        tenant_id,
        signed_up_on,
        first_used_on,
        case when reached_on <= signed_up_on + {{ var('activation_days') }} then reached_on end as activated_on,
        case
            when
                reached_on <= signed_up_on + {{ var('activation_days') }}
                then cast(reached_on - signed_up_on as bigint)
        end as days_to_activation,
        case
            when reached_on <= signed_up_on + {{ var('activation_days') }} then 'activated'
            when reporting_day <= signed_up_on + {{ var('activation_days') }} then 'pending'
            else 'not activated'
        end as outcome
    from dated

)

select * from final
