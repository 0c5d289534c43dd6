-- caught: raw_app.users.email → leak_scalar_subquery.first_user
select tenants.id, (select min(people.email) from {{ source('raw_app', 'users') }} as people where people.tenant_id::varchar = tenants.id) as first_user from {{ ref('stg_app__tenants') }} as tenants
