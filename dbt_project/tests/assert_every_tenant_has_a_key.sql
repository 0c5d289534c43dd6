-- A tenant without a key would get pseudonyms that are null, and incremental models would keep them.
{{ config(meta={'dagster': {'ref': {'name': 'stg_app__tenants'}}}) }}
select tenants.tenant_id
from {{ ref('stg_app__tenants') }} as tenants
left join {{ source('vault', 'tenant_keys') }} as tenant_keys
    on tenants.tenant_id = tenant_keys.tenant_id
where tenant_keys.tenant_id is null
