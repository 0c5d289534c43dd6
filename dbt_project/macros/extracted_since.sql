{#
    A condition on `column`, for an incremental model that keeps the extraction times it has seen: extracted since its
    last build. The embedded loaders stamp rows in the order in which they commit them, so on DuckDB that is exact.
    Airbyte stamps a row before it commits; there the condition looks back a little, and what is read twice is computed
    twice to the same result. `where` narrows what counts as seen, for streams that move at their own pace.
#}
{% macro extracted_since_last_build(column, where='true') -%}
    {{ column }} > coalesce(
        (select max(seen._extracted_at) from {{ this }} as seen where {{ where }})
        {%- if target.type != 'duckdb' %}
        - interval '{{ var("extraction_overlap_minutes") }} minutes'
        {%- endif %},
        cast('1970-01-01 00:00:00+00:00' as timestamp with time zone)
    )
{%- endmacro %}


{#
    A condition on rows of a relation: extracted in so many days up to its latest extraction; always true without days,
    and in a build of everything anew.
#}
{% macro extracted_lately(relation, days) -%}
    {%- if days and not flags.FULL_REFRESH -%}
        _extracted_at >= (
            select max(latest._extracted_at) - interval '{{ days }} days'
            from {{ relation }} as latest
        )
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
