{# The first character and, of an e-mail address, the domain: a***@example.com; otherwise a***. #}
{% macro mask(expression) -%}
    {{ return(adapter.dispatch('mask')(expression)) }}
{%- endmacro %}

{% macro default__mask(expression) -%}
    case
        when {{ expression }} is null then null
        else left({{ expression }}, 1) || '***' || regexp_extract({{ expression }}, '(?s)^.+(@[^@]*)$', 1)
    end
{%- endmacro %}

{% macro snowflake__mask(expression) -%}
    left({{ expression }}, 1) || '***' || coalesce(regexp_substr({{ expression }}, '^.+(@[^@]*)$', 1, 1, 'se', 1), '')
{%- endmacro %}
