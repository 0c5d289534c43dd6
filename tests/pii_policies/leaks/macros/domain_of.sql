{% macro domain_of(column) %}split_part({{ column }}, '@', 2){% endmacro %}
