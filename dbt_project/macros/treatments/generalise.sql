{# The network of an IP address: 203.0.113.0/24, or 2001:db8:7::/48 with three groups always; null for what is none. #}
{% macro generalise_network(expression) -%}
    {%- set address = "lower(split_part(" ~ expression ~ ", '/', 1))" -%}
    {%- set octet = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])' -%}
    {%- set ipv4 = octet ~ '([.]' ~ octet ~ '){3}' -%}
    {#- An IPv4 tail stands for two groups, and `::` for as many zeroes as make eight. -#}
    {%- set groups = replace_pattern(address, ipv4 ~ '$', '0:0') -%}
    {%- set count = "length(replace(" ~ replace_pattern(groups, '[0-9a-f]+', 'x') ~ ", ':', ''))" -%}
    {%- set expanded = "ltrim(replace(" ~ groups ~ ", '::', ':' || repeat('0:', greatest(8 - " ~ count ~ ", 0))), ':')" -%}
    case
        when {{ matches_whole(address, ipv4) }}
            then {{ replace_pattern(address, '[.][0-9]+$', '.0/24') }}
        when
            {{ matches_whole(address, '([0-9a-f]{0,4}:){2,8}([0-9a-f]{0,4}|' ~ ipv4 ~ ')') }}
            and {{ count }} between case when {{ address }} like '%::%' then 0 else 8 end
            and case when {{ address }} like '%::%' then 7 else 8 end
            then {{ replace_pattern(
                expanded, '^0*([0-9a-f]+):0*([0-9a-f]+):0*([0-9a-f]+):.*$', '\\1:\\2:\\3::/48'
            ) }}
    end
{%- endmacro %}


{# The first day of the month, in UTC. #}
{% macro generalise_month(expression) -%}
    cast(date_trunc('month', {{ expression }}) as date)
{%- endmacro %}


{# The powers of ten between which an amount lies: 1000-10000; -(1000-10000) of a negative one. #}
{% macro generalise_band(expression) -%}
    case when {{ expression }} < 0 then '-(' else '' end
    || case
        when abs({{ expression }}) < 1 then '0-1'
        {%- for power in range(12) %}
        when abs({{ expression }}) < {{ 10 ** (power + 1) }} then '{{ 10 ** power }}-{{ 10 ** (power + 1) }}'
        {%- endfor %}
        when abs({{ expression }}) >= {{ 10 ** 12 }} then '{{ 10 ** 12 }}-'
    end
    || case when {{ expression }} < 0 then ')' else '' end
{%- endmacro %}


{# Whether a text as a whole matches a pattern. Patterns hold no backslash: Snowflake reads it as an escape. #}
{% macro matches_whole(expression, pattern) -%}
    {{ return(adapter.dispatch('matches_whole')(expression, pattern)) }}
{%- endmacro %}

{% macro default__matches_whole(expression, pattern) -%}
    regexp_full_match({{ expression }}, '{{ pattern }}')
{%- endmacro %}

{% macro snowflake__matches_whole(expression, pattern) -%}
    regexp_like({{ expression }}, '{{ pattern }}')
{%- endmacro %}


{# Every match of a pattern replaced; \1 is its first group. #}
{% macro replace_pattern(expression, pattern, replacement) -%}
    {{ return(adapter.dispatch('replace_pattern')(expression, pattern, replacement)) }}
{%- endmacro %}

{% macro default__replace_pattern(expression, pattern, replacement) -%}
    regexp_replace({{ expression }}, '{{ pattern }}', '{{ replacement }}', 'g')
{%- endmacro %}

{% macro snowflake__replace_pattern(expression, pattern, replacement) -%}
    regexp_replace({{ expression }}, '{{ pattern }}', '{{ replacement | replace('\\', '\\\\') }}')
{%- endmacro %}
