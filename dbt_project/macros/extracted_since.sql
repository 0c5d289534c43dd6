{#
    A condition on `column`, for an incremental model that keeps the extraction times it has seen: extracted since its
    last build, or a little before that, because a row may commit later than it was extracted. What is read twice is
    computed twice to the same result. `where` narrows what counts as seen, for streams that move at their own pace.
#}
{% macro extracted_since_last_build(column, where='true') -%}
    {{ column }} > coalesce(
        (select max(seen._extracted_at) from {{ this }} as seen where {{ where }})
        - interval '{{ var("extraction_overlap_minutes") }} minutes',
        cast('1970-01-01 00:00:00+00:00' as timestamp with time zone)
    )
{%- endmacro %}
