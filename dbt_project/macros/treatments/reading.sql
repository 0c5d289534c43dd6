{# How raw values are read into the types of staging. Paths are dotted: object.items.data. #}


{# A member of a JSON document as text; null where it is absent or JSON null. #}
{% macro json_member(expression, path) -%}
    {{ return(adapter.dispatch('json_member')(expression, path)) }}
{%- endmacro %}

{% macro default__json_member(expression, path) -%}
    ({{ expression }} ->> '$.{{ path }}')
{%- endmacro %}

{% macro snowflake__json_member(expression, path) -%}
    get_path({{ expression }}, '{{ path }}')::varchar
{%- endmacro %}


{# A JSON document, or with a path a member of it, as a document; JSON null becomes null. #}
{% macro json_document(expression, path=none) -%}
    {{ return(adapter.dispatch('json_document')(expression, path)) }}
{%- endmacro %}

{% macro default__json_document(expression, path) -%}
    nullif({{ '(' ~ expression ~ " -> '$." ~ path ~ "')" if path else expression }}, cast('null' as json))
{%- endmacro %}

{% macro snowflake__json_document(expression, path) -%}
    {%- set document = 'get_path(' ~ expression ~ ", '" ~ path ~ "')" if path else 'to_variant(' ~ expression ~ ')' -%}
    iff(is_null_value({{ document }}), null, {{ document }})
{%- endmacro %}


{# An array within a JSON document, of each element only the members named: {name: path within the element}. #}
{% macro json_elements(expression, path, members) -%}
    {{ return(adapter.dispatch('json_elements')(expression, path, members)) }}
{%- endmacro %}

{% macro default__json_elements(expression, path, members) -%}
    to_json(list_transform(
        json_extract({{ expression }}, '$.{{ path }}[*]'),
        lambda element: json_object(
            {%- for name, inner in members.items() %}
            '{{ name }}', json_extract(element, '$.{{ inner }}'){{ ',' if not loop.last }}
            {%- endfor %}
        )
    ))
{%- endmacro %}

{% macro snowflake__json_elements(expression, path, members) -%}
    to_variant(transform(
        get_path({{ expression }}, '{{ path }}')::array,
        element -> object_construct_keep_null(
            {%- for name, inner in members.items() %}
            '{{ name }}', get_path(element, '{{ inner }}'){{ ',' if not loop.last }}
            {%- endfor %}
        )
    ))
{%- endmacro %}


{# A list of plain values as a document. #}
{% macro list_document(expression) -%}
    {{ return(adapter.dispatch('list_document')(expression)) }}
{%- endmacro %}

{% macro default__list_document(expression) -%}
    to_json({{ expression }})
{%- endmacro %}

{% macro snowflake__list_document(expression) -%}
    to_variant({{ expression }})
{%- endmacro %}


{# A timestamp without time zone, which is in UTC, as one with it. #}
{% macro from_utc(expression) -%}
    {{ return(adapter.dispatch('from_utc')(expression)) }}
{%- endmacro %}

{% macro default__from_utc(expression) -%}
    ({{ expression }} at time zone 'UTC')
{%- endmacro %}

{% macro snowflake__from_utc(expression) -%}
    to_timestamp_tz(to_varchar({{ expression }}, 'YYYY-MM-DD HH24:MI:SS.FF6') || ' +0000')
{%- endmacro %}


{# Unix seconds as a timestamp with time zone. #}
{% macro from_unix(expression) -%}
    {{ return(adapter.dispatch('from_unix')(expression)) }}
{%- endmacro %}

{% macro default__from_unix(expression) -%}
    to_timestamp({{ expression }})
{%- endmacro %}

{% macro snowflake__from_unix(expression) -%}
    to_timestamp_tz({{ expression }})
{%- endmacro %}


{# A text as a value of a type; null where it is none, or empty. #}
{% macro parsed(expression, type) -%}
    try_cast(nullif(trim({{ expression }}), '') as {{ type }})
{%- endmacro %}


{# A column whose name the engine reserves. Snowflake holds names in capitals. #}
{% macro reserved(name) -%}
    {{ adapter.quote(name | upper if target.type == 'snowflake' else name) }}
{%- endmacro %}


{# When the latest of the rows that a row is made of was extracted; an absent one does not count. #}
{% macro last_extracted() -%}
    {%- set first = varargs[0] ~ '._airbyte_extracted_at' -%}
    {%- if varargs | length == 1 -%}
        {{ first }}
    {%- else -%}
        greatest(
            {{ first }}
            {%- for relation in varargs[1:] -%}
                , coalesce({{ relation }}._airbyte_extracted_at, {{ first }})
            {%- endfor -%}
        )
    {%- endif -%}
{%- endmacro %}
