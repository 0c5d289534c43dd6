-- caught: vault.tenant_keys.ipad → leak_keys.pad
select tenant_id, hex(ipad) as pad from {{ source('vault', 'tenant_keys') }}
