-- Grain: one row. The day that figures stand at: the latest day that anything landed tells of, or var `reporting_day`.
-- Not the wall clock: the same landed rows give the same marts, whenever they are built. It looks through all
-- days, because the latest may have been taken back.
{{ config(materialized='table') }}

with

feature_activity as (

    select * from {{ ref('int_feature_activity_daily') }}

),

subscription_events as (

    select * from {{ ref('stg_stripe__subscription_events') }}

),

-- What claims to be of a day after it was extracted is a clock gone wrong, and says nothing of today.
days as (

    select day
    from feature_activity
    where day <= {{ utc_day('_extracted_at') }}

    union all

    select {{ utc_day('occurred_at') }} as day
    from subscription_events
    where {{ utc_day('occurred_at') }} <= {{ utc_day('_extracted_at') }}

),

final as (

    select
        'all' as tenant_id,
        {% if var('reporting_day') %}
            -- An aggregate, so that it is one row as well.
            coalesce(cast('{{ var("reporting_day") }}' as date), max(day)) as reporting_day
        {% else %}
            coalesce(max(day), cast('1970-01-01' as date)) as reporting_day
        {% endif %}
    from days

)

select * from final
