-- Grain: one row per tenant_id, month and user_key (null: no user known): the first and the last day of the month with
-- any event, null where all of them were deleted since. Small, so that what asks for a user's first day ever need not
-- look through the days of all history.
-- Whole slices (tenant, month) are computed anew when any of their days changed.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'month'],
        on_schema_change='fail',
    )
}}

with

user_activity {{ as_read_in_place() }} (

    select
        *,
        {{ month_of('day') }} as month
    from {{ ref('int_user_activity_daily') }}

),

{% if is_incremental() %}

    touched_months as (

        select distinct
            tenant_id,
            month
        from user_activity
        where {{ extracted_since_last_build('_extracted_at') }}

    ),

    -- The same for all tenants, for an engine to hold against what it knows of its blocks.
    reach as (

        select
            coalesce(min(month), cast('9999-12-01' as date)) as first_day,
            coalesce({{ plus_months('max(month)', 1) }}, cast('0001-01-01' as date)) as end_day
        from touched_months

    ),

    activity_to_count as (

        select user_activity.*
        from user_activity
        inner join reach
            on
                user_activity.day >= reach.first_day
                and user_activity.day < reach.end_day
        inner join touched_months
            on
                user_activity.tenant_id = touched_months.tenant_id
                and user_activity.month = touched_months.month

    ),

{% else %}

    activity_to_count as (

        select * from user_activity

    ),

{% endif %}

final as (

    select
        tenant_id,
        month,
        user_key,
        min(case when events > 0 then day end) as first_day,
        max(case when events > 0 then day end) as last_day,
        max(_extracted_at) as _extracted_at
    from activity_to_count
    group by tenant_id, month, user_key

)

select * from final
