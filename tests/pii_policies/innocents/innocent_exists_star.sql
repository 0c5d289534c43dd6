select tenants.id from {{ ref('stg_app__tenants') }} as tenants where exists (select * from {{ source('raw_app', 'users') }} as people where people.tenant_id::varchar = tenants.id)
