{# Schemas are named for the layer alone: one deployment has a database of its own, so no prefix keeps targets apart. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
