-- caught: raw_app.users.phone → leak_struct.packed
select {'id': tenant_id, 'contact': phone} as packed from {{ source('raw_app', 'users') }}
