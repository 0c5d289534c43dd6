{#
    Columns of a table with a contract: what adapters write for themselves, but for primary keys on DuckDB. It would keep
    an index for each, which costs ten times what writing the rows does; tests look at the keys, on either engine.
#}
{% macro duckdb__get_table_columns_and_constraints() -%}
    (
        {{ adapter.render_raw_columns_constraints(raw_columns=model['columns']) | join(', ') }}
    )
{%- endmacro %}
