{#
    The newest key of every tenant, as HMAC's two pads. The vault is a database of its own, in reach of the pipeline
    only; the variable `vault_database` names its database.
#}
{% macro tenant_keys() -%}
    (
        select tenant_id, ipad, opad
        from {{ source('vault', 'tenant_keys') }}
        qualify row_number() over (partition by tenant_id order by key_version desc) = 1
    )
{%- endmacro %}


{#
    HMAC-SHA-256 (RFC 2104) of a text under the key of the row's tenant, which the query has joined as `tenant_key`:
    64 lower-case hex digits, null without a value or a key. The key is data of a join, never text of a query.
#}
{% macro pseudonymise(expression) -%}
    {{ return(adapter.dispatch('pseudonymise')(expression)) }}
{%- endmacro %}

{% macro default__pseudonymise(expression) -%}
    sha256(tenant_key.opad || unhex(sha256(tenant_key.ipad || encode({{ expression }}))))
{%- endmacro %}

{% macro snowflake__pseudonymise(expression) -%}
    lower(hex_encode(sha2_binary(
        tenant_key.opad || sha2_binary(tenant_key.ipad || to_binary({{ expression }}, 'UTF-8'), 256), 256
    )))
{%- endmacro %}


{# An e-mail address as it is pseudonymised: no outer blanks, A-Z in lower case. lower() would differ by engine. #}
{% macro normalise_email(expression) -%}
    translate(trim({{ expression }}, ' '), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
{%- endmacro %}
