{#
    A condition on `column`, for an incremental model that keeps the extraction times it has seen: extracted since its
    last build. The embedded loaders stamp rows in the order in which they commit them, so on DuckDB that is exact.
    Airbyte stamps a row before it commits; there the condition looks back a little, and what is read twice is computed
    twice to the same result. `where` narrows what counts as seen, for streams that move at their own pace;
    `seen_in` is where it is looked up, if not in the model itself.
#}
{% macro extracted_since_last_build(column, where='true', seen_in=none) -%}
    {{ column }} > coalesce(
        {{ latest_extraction(seen_in or this, where=where) }}
        {%- if target.type != 'duckdb' %}
        - interval '{{ var("extraction_overlap_minutes") }} minutes'
        {%- endif %},
        cast('1970-01-01 00:00:00+00:00' as timestamp with time zone)
    )
{%- endmacro %}


{#
    The latest extraction that a relation tells of, null when it is empty. Not max(): of an order, DuckDB reads only the
    blocks that can come first.
#}
{% macro latest_extraction(relation, column='_extracted_at', where='true') -%}
    (
        select seen.{{ column }}
        from {{ relation }} as seen
        where {{ where }}
        order by seen.{{ column }} desc nulls last
        limit 1
    )
{%- endmacro %}


{#
    A condition on rows of a relation: extracted in so many days up to its latest extraction; always true without days,
    in a full refresh, and where var `reconcile_all_usage` wants all of history looked at. `landed_in` is the source that a staging model has its times from, where it is a view whose
    joins would otherwise be made for the sake of a time.
#}
{% macro extracted_lately(relation, days, landed_in=none) -%}
    {%- if days and not flags.FULL_REFRESH and not var('reconcile_all_usage') -%}
        _extracted_at >=
        {% if landed_in -%}
            {{ latest_extraction(landed_in, column='_airbyte_extracted_at') }}
        {%- else -%}
            {{ latest_extraction(relation) }}
        {%- endif %}
        - interval '{{ days }} days'
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{# Whether a model that is no incremental one is built in a build of everything anew, or for the first time. #}
{% macro is_built_anew() -%}
    {{ return(
        flags.FULL_REFRESH
        or adapter.get_relation(database=this.database, schema=this.schema, identifier=this.identifier) is none
    ) }}
{%- endmacro %}
