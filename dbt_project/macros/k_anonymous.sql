{# The least number of tenants behind a figure that is nobody's in particular. Fewer than ten is no crowd. #}
{% macro k_anonymity() -%}
    {%- set k = var('k_anonymity') | int -%}
    {%- if k < 10 -%}
        {{ exceptions.raise_compiler_error('k_anonymity is ' ~ k ~ '; a global figure stands for 10 tenants or more') }}
    {%- endif -%}
    {{ return(k) }}
{%- endmacro %}


{#
    A global figure: `measures` ({name: aggregate}) of a relation that has tenant_id, by the columns `group_by`. A group
    of fewer tenants than k does not appear; `tenants` tells how many there are. Rows of no tenant do not count.
#}
{% macro k_anonymous(relation, group_by, measures) -%}
    select
        {%- for column in group_by %}
        {{ column }},
        {%- endfor %}
        {%- for name, aggregate in measures.items() %}
        {{ aggregate }} as {{ name }},
        {%- endfor %}
        count(distinct tenant_id) as tenants
    from {{ relation }}
    where tenant_id <> 'unattributed'
    {%- if group_by %}
    group by {{ group_by | join(', ') }}
    {%- endif %}
    having count(distinct tenant_id) >= {{ k_anonymity() }}
{%- endmacro %}
