-- The incremental slices add up to what a count of all live events gives. It reads all of the history, narrowly.
{{ config(meta={'dagster': {'ref': {'name': 'fct_usage_daily'}}}) }}

with

events as (

    select
        feature,
        count(*) as events
    from {{ ref('int_usage_events') }}
    where not is_deleted
    group by feature

),

counted as (

    {% set measures = {
        'workflows': 'workflow_runs',
        'tasks': 'tasks_completed',
        'comments': 'comments',
        'api': 'api_requests',
        'ai': 'ai_requests',
    } %}
    {% for feature, measure in measures.items() %}
        select
            '{{ feature }}' as feature,
            sum({{ measure }}) as events
        from {{ ref('fct_usage_daily') }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select
    counted.feature,
    coalesce(events.events, 0) as expected,
    coalesce(counted.events, 0) as found
from counted
left join events on counted.feature = events.feature
where coalesce(events.events, 0) <> coalesce(counted.events, 0)
