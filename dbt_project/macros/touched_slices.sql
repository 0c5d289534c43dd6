{#
    CTEs for an incremental model that counts events anew by whole slices (tenant, day, feature): `events_to_count` holds
    the events of every slice of which an event was extracted since the last build. They stand on a CTE `usage_events`.

    What is read is bounded twice, by comparisons that an engine can hold against the ranges of values that it keeps of
    its blocks: rows extracted lately tell which slices they touch, and times between the first and the last day touched
    bring in the rest of these. Feature by feature, so that a year-old comment that is deleted has only comments read back
    to then. `more` adds touched slices of a feature: {feature: query of tenant_id, day}.
#}
{% macro events_of_touched_slices(features, more={}) -%}
    last_seen as (

        select
            feature,
            max(_extracted_at) as _extracted_at
        from {{ this }}
        group by feature

    ),

    {% for feature in features -%}
    touched_{{ feature }} as (

        select
            tenant_id,
            day
        from usage_events
        where
            feature = '{{ feature }}'
            and {{ extracted_since_last_build(
                '_extracted_at', where="seen.feature = '" ~ feature ~ "'", seen_in='last_seen'
            ) }}

        {% if feature in more -%}
        union

        {{ more[feature] }}
        {%- else -%}
        group by tenant_id, day
        {%- endif %}

    ),

    reach_of_{{ feature }} as (

        {{ reach_of('touched_' ~ feature) }}

    ),

    {% endfor -%}
    events_to_count as (

        {% for feature in features -%}
        select usage_events.*
        from usage_events
        inner join reach_of_{{ feature }} as reach
            on
                usage_events.occurred_at >= reach.begins_at
                and usage_events.occurred_at < reach.ends_at
        inner join touched_{{ feature }} as touched
            on
                usage_events.tenant_id = touched.tenant_id
                and usage_events.day = touched.day
        where usage_events.feature = '{{ feature }}'
        {% if not loop.last %}union all{% endif %}
        {% endfor %}
    ),
{%- endmacro %}


{#
    The times between the first and the last day of the slices in a CTE, as one row: begins_at, ends_at. Where there are
    none nothing is in reach, and so it must say: held against nulls, every row would be read.
#}
{% macro reach_of(touched) -%}
    select
        {{ from_utc("cast(coalesce(min(day), cast('9999-12-31' as date)) as timestamp)") }} as begins_at,
        {{ from_utc("cast(coalesce(max(day), cast('9999-12-30' as date)) + 1 as timestamp)") }} as ends_at
    from {{ touched }}
{%- endmacro %}
