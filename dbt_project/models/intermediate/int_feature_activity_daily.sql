-- Grain: one row per tenant_id, day and feature, the days included on which all events were deleted since.
-- Whole slices are counted anew when any of their rows changed.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day', 'feature'],
        on_schema_change='fail',
    )
}}

with

user_activity {{ as_read_in_place() }} (

    select * from {{ ref('int_user_activity_daily') }}

),

{% if is_incremental() %}

    touched_slices as (

        select distinct
            tenant_id,
            day,
            feature
        from user_activity
        where {{ extracted_since_last_build('_extracted_at') }}

    ),

    activity_to_count as (

        select user_activity.*
        from user_activity
        inner join touched_slices
            on
                user_activity.tenant_id = touched_slices.tenant_id
                and user_activity.day = touched_slices.day
                and user_activity.feature = touched_slices.feature

    ),

{% else %}

    activity_to_count as (

        select * from user_activity

    ),

{% endif %}

final as (

    select
        tenant_id,
        day,
        feature,
        cast(count(distinct case when events > 0 then user_key end) as bigint) as active_users,
        cast(sum(events) as bigint) as events,
        max(_extracted_at) as _extracted_at
    from activity_to_count
    group by tenant_id, day, feature

)

select * from final
