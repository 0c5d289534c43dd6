-- Grain: one row per tenant_id, day, feature and user_key (null: no user known).
-- Whole slices (tenant, day, feature) are computed anew when any of their events changed. Deleted events count as
-- nothing but keep their slice alive, with zeroes, so that whatever is built on it sees that the slice changed.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['tenant_id', 'day', 'feature'],
        on_schema_change='fail',
    )
}}

with

usage_events as (

    select * from {{ ref('int_usage_events') }}

),

{% if is_incremental() %}

    touched_slices as (

        select distinct
            tenant_id,
            day,
            feature
        from usage_events
        where
            {% for feature in ['workflows', 'tasks', 'comments', 'api', 'ai'] %}
                (
                    feature = '{{ feature }}'
                    and {{ extracted_since_last_build('_extracted_at', where="seen.feature = '" ~ feature ~ "'") }}
                )
                {% if not loop.last %}or{% endif %}
            {% endfor %}

    ),

    events_to_count as (

        select usage_events.*
        from usage_events
        inner join touched_slices
            on
                usage_events.tenant_id = touched_slices.tenant_id
                and usage_events.day = touched_slices.day
                and usage_events.feature = touched_slices.feature

    ),

{% else %}

    events_to_count as (

        select * from usage_events

    ),

{% endif %}

final as (

    select
        tenant_id,
        day,
        feature,
        user_key,
        cast(count(case when not is_deleted then 1 end) as bigint) as events,
        cast(count(case when not is_deleted and is_failure then 1 end) as bigint) as failures,
        cast(coalesce(sum(case when not is_deleted then ai_tokens end), 0) as bigint) as ai_tokens,
        cast(coalesce(sum(case when not is_deleted then ai_cost_usd end), 0) as decimal(18, 6)) as ai_cost_usd,
        max(_extracted_at) as _extracted_at
    from events_to_count
    group by tenant_id, day, feature, user_key

)

select * from final
